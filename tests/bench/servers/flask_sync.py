"""Flask under gunicorn's plain workers: the usual way to put a model behind HTTP. An application for gunicorn."""

from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue

from tests.bench.servers import work

app, answer = Flask(__name__), work.load()


@app.post("/predict")
def predict() -> ResponseReturnValue:
    return jsonify(answer(request.get_data()))
