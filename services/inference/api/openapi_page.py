"""Routes of the OpenAPI document and of Swagger UI."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from flask import Blueprint, Response, abort, current_app, send_from_directory
from pydantic_core import to_json

from services.inference.api.auth import needs
from services.inference.api.openapi import document

_PAGE = Path(__file__).parents[1] / "page"
_SWAGGER = {"swagger-ui.css": "css", "swagger-ui-bundle.js": "js"}


def blueprint() -> Blueprint:
    """Create the routes `/openapi.json` and `/docs`."""
    api = Blueprint("docs", __name__)

    @cache
    def openapi() -> bytes:
        from services.inference.api.openapi_examples import EXAMPLES  # noqa: PLC0415  it makes a film, which is not for the start

        return to_json(document(current_app, EXAMPLES))

    @api.get("/openapi.json")
    @needs(None)
    def served_document() -> Response:
        return Response(openapi(), mimetype="application/json")

    @api.get("/docs")
    @needs(None)
    def page() -> Response:
        return send_from_directory(_PAGE, "docs.html")

    @api.get("/docs/<name>")
    @needs(None)
    def swagger(name: str) -> Response:
        if name not in _SWAGGER:
            abort(404)
        return send_from_directory(_swagger_folder() / _SWAGGER[name], name, max_age=3600)

    return api


@cache
def _swagger_folder() -> Path:
    """Find Swagger UI's files without importing its package, which loads a framework."""
    spec = find_spec("flask_openapi3_swagger")
    if spec is None or not spec.submodule_search_locations:
        abort(404, "Swagger UI is not installed on this server; use /openapi.json")
    return Path(spec.submodule_search_locations[0]) / "templates" / "swagger"
