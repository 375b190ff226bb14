"""The page as the service serves it, over answers about generated films.

`python -m tests.support.page.stub` serves it to look at.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from flask import Flask, Response, request, send_from_directory
from werkzeug.serving import make_server

from shared.api.predictions import GateAnswer
from shared.api.problem import Problem
from tests.support.page.answers import POINTS, PROBLEMS, SCORES, answer, card
from tests.support.page.exam_answers import ExamSpec, exam

PAGE = Path(__file__).resolve().parents[3] / "services" / "inference" / "page"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Stub:
    """`key` is what callers have to send, None asks for none; `keys` collects what they sent with films. A body of
    PROBLEMS is answered with that problem, one of SCORES with that score, "plain" as by a network without a heat map
    that learned from real films, "dicom" as a large DICOM, "slow" late, all others as a film. A film of an
    exam is an `ExamSpec` as JSON."""

    def __init__(self, key: str | None = None) -> None:
        self.key = key
        self.keys: list[str | None] = []
        self.version = "20261122-190722-b05b"
        self.app = Flask(__name__, static_folder=None)
        self.app.add_url_rule("/", view_func=lambda: send_from_directory(PAGE, "index.html"), endpoint="index")
        self.app.add_url_rule("/page/<path:name>", view_func=lambda name: send_from_directory(PAGE, name))
        self.app.add_url_rule("/v1/predictions", view_func=self._predict, methods=["POST"])
        self.app.add_url_rule("/v1/exams", view_func=self._predict_exam, methods=["POST"])
        self.app.add_url_rule("/v1/models/<network>/card", view_func=self._card, endpoint="card")
        self.app.after_request(_protect)

    def _predict(self) -> Response:
        self.keys.append(request.headers.get("Authorization"))
        data = request.files["image"].read()
        if self._refused():
            return _problem(401, "unauthorized", "the request has no API key; send it as 'Authorization: Bearer KEY'")
        if data in PROBLEMS:
            return _problem(*PROBLEMS[data])
        if data == b"slow":
            time.sleep(0.4)
        point = POINTS[request.args["operating_point"]]
        found = answer(SCORES.get(data, 0.9), point, self.version, plain=data == b"plain", large=data == b"dicom")
        if "view" not in request.args:
            found = found.model_copy(update={"view": None, "heatmap": None})
        return Response(found.model_dump_json(), mimetype="application/json")

    def _predict_exam(self) -> Response:
        self.keys.append(request.headers.get("Authorization"))
        sent = []
        for position, file in enumerate(request.files.getlist("image")):
            stated = {name: request.form.getlist(name)[position] for name in ("side", "view") if name in request.form}
            spec = ExamSpec.model_validate_json(file.read())
            known = {name: value for name, value in stated.items() if value}
            sent.append((file.filename or "", spec.model_copy(update=known)))
        found = exam(sent, POINTS[request.args["operating_point"]], self.version)
        return Response(found.model_dump_json(), mimetype="application/json")

    def _card(self, network: str) -> Response:
        if self._refused():
            return _problem(401, "unauthorized", "the request has no API key; send it as 'Authorization: Bearer KEY'")
        return Response(card(network, self.version).model_dump_json(), mimetype="application/json")

    def _refused(self) -> bool:
        return self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}"


@contextmanager
def running(stub: Stub) -> Iterator[str]:
    """Serves the stub on loopback; gives its address."""
    server = make_server("127.0.0.1", 0, stub.app, threaded=True)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _problem(status: int, title: str, detail: str, gate: GateAnswer | None = None) -> Response:
    problem = Problem(title=title, status=status, detail=detail, request_id="0f3e5c7a", gate=gate)
    response = Response(problem.model_dump_json(), status, mimetype="application/problem+json")
    if status == 503:
        response.headers["Retry-After"] = "2"
    return response


def _protect(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


if __name__ == "__main__":
    Stub().app.run("127.0.0.1", 8099)
