"""The page of the HTTP API and `docs/openapi.json`, read from the application."""

import tempfile
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

from werkzeug.exceptions import HTTPException

from services.inference.app import create_app
from shared.errors import MammoError
from tests.reference.errors import ADVICE, errors, retry
from tests.reference.markdown import page, table
from tests.support.settings import inference_settings

Json = dict[str, Any]
PAGES = (
    ("GET", "/", "the page that shows predictions"),
    ("GET", "/page/<path:name>", "its files"),
    ("GET", "/openapi.json", "the OpenAPI document, as `docs/openapi.json`"),
    ("GET", "/docs", "Swagger UI"),
    ("GET", "/docs/<name>", "its files"),
)
OF_COMMANDS = {
    "already-running",
    "api",
    "broker-data-unreadable",
    "invalid-dataset",
    "invalid-plan",
    "invalid-settings",
    "films-changed",
    "folder-unusable",
    "port-taken",
    "no-keys",
    "process-died",
    "promotion-refused",
    "run",
    "run-not-found",
    "weights-unavailable",
}
"""Errors of commands and of starting, which no answer over HTTP carries."""
WORKERS_ALONE = ("services.train", "shared.queue")


def openapi() -> Json:
    """Return the document as the service serves it."""
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(inference_settings(str(Path(folder, "store")), key="mammo_00000000_" + "a" * 40))
        try:
            return dict(app.test_client().get("/openapi.json").json or {})
        finally:
            app.extensions["inference"].close()


def http_api_page(described: Json) -> str:
    """List routes with scope, purpose and errors, and all error codes with status and retry."""
    return page(
        "HTTP API",
        "The full description, with every type and an example of each, is the OpenAPI 3.1 document "
        "[docs/openapi.json](../openapi.json), which the service serves at `/openapi.json` and shows at `/docs`. A "
        "request carries an API key as `Authorization: Bearer KEY`; the scope that the key must have stands below.",
        "## Routes",
        table(("method", "path", "scope", "purpose", "answer", "errors of its own"), routes(described)),
        "## Pages, without a key",
        table(("method", "path", "what"), [(method, f"`{path}`", what) for method, path, what in PAGES]),
        "## Errors",
        "An error is a problem document (RFC 9457, `application/problem+json`) whose `title` is the code; on the paths "
        "of KServe (`/v1/models`, `/v2`) it is `application/json` and has `error` as well. Where a retry helps, "
        "`Retry-After` says in how many seconds. `X-Request-Id` of the answer is in the log.",
        table(("code", "status", "retry helps", "meaning", "what to do"), _errors()),
        "Requests that HTTP itself forbids get the name of their status as code, such as "
        + ", ".join(f"`{code}` ({status})" for code, status in _of_http())
        + ".",
    )


def routes(described: Json) -> Iterator[tuple[str, ...]]:
    """Yield the row of each route of the document."""
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            answers = sorted(operation["responses"])
            errors = [status for status in answers if status >= "400" and status not in ("401", "403", "429")]
            scope = ", ".join(operation["security"][0]["key"]) if operation["security"] else "none"
            good = ", ".join(status for status in answers if status < "400")
            yield method.upper(), f"`{path}`", scope, operation["summary"], good, ", ".join(errors)


def _errors() -> Iterator[tuple[str, ...]]:
    for error in sorted((each for each in errors() if _answered(each)), key=lambda each: (each.http_status, each.code)):
        yield f"`{error.code}`", str(error.http_status), retry(error), *ADVICE[error.code]


def _answered(error: type[MammoError]) -> bool:
    """Return whether a request can meet the error."""
    return error.code not in OF_COMMANDS | {"job-interrupted"} and not error.__module__.startswith(WORKERS_ALONE)


def _of_http() -> Iterator[tuple[str, int]]:
    for status in (400, 404, 405, 413, 415):
        error: Any = next(each for each in HTTPException.__subclasses__() if each.code == status)
        yield error().name.lower().replace(" ", "-"), HTTPStatus(status).value
