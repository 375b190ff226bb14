"""Parse queries and bodies to types of `shared.api`; serialise responses."""

from collections.abc import Callable
from typing import TypeVar

from flask import Response, g, request
from pydantic import BaseModel, ValidationError

from shared.errors import InputError

T = TypeVar("T", bound=BaseModel)
_MOST_PROBLEMS = 3


def query(kind: type[T]) -> T:
    """Parse the query of the request.

    Raises:
        InputError: a parameter is unknown, repeated or invalid.
    """
    parameters = request.args
    if repeated := next((name for name in parameters if len(parameters.getlist(name)) > 1), None):
        raise InputError(f"the query parameter {repeated[:40]} is repeated; give it once")
    return _checked("query", lambda: kind.model_validate(parameters.to_dict()))


def body(kind: type[T], document: bytes | None = None) -> T:
    """Parse a JSON body: `document` if given, else the body of the request.

    Raises:
        InputError: the body is not valid.
    """
    data = raw_body() if document is None else document
    return _checked("body", lambda: kind.model_validate_json(data))


def raw_body() -> bytes:
    """Return the body of the request; empty if it was a form."""
    return bytes(g.get("body", b""))


def json_response(document: BaseModel, status: int = 200) -> Response:
    """Serialise a document as a JSON response."""
    return Response(document.model_dump_json(), status, mimetype="application/json")


def _checked(part: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except ValidationError as error:
        # What was sent is not quoted: it may be an image, or a name.
        errors = error.errors(include_input=False, include_url=False)
        problems = [f"{'.'.join(map(str, each['loc'])) or part}: {each['msg'].lower()}" for each in errors]
        listed = "; ".join(problems[:_MOST_PROBLEMS])
        raise InputError(f"invalid {part}: {listed}; see /docs for this route's parameters") from None
