"""From a request's query and body to the types of `shared.api`, and from those to a response."""

from collections.abc import Callable
from typing import TypeVar

from flask import Response, g, request
from pydantic import BaseModel, ValidationError

from shared.errors import InputError

T = TypeVar("T", bound=BaseModel)
_MOST_PROBLEMS = 3


def query(form: type[T]) -> T:
    """The query of the request. Raises InputError."""
    given = request.args
    if twice := next((name for name in given if len(given.getlist(name)) > 1), None):
        raise InputError(f"the query holds {twice[:40]} more than once; give it once")
    return _checked("query", lambda: form.model_validate(given.to_dict()))


def body(form: type[T], document: bytes | None = None) -> T:
    """A JSON body, which is that of the request unless `document` is given. Raises InputError."""
    data = sent_body() if document is None else document
    return _checked("body", lambda: form.model_validate_json(data))


def sent_body() -> bytes:
    """The body of the request; empty where it was a form."""
    return bytes(g.get("body", b""))


def sent(answer: BaseModel, status: int = 200) -> Response:
    return Response(answer.model_dump_json(), status, mimetype="application/json")


def _checked(what: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except ValidationError as error:
        # What was sent is not quoted: it may be an image, or a name.
        found = error.errors(include_input=False, include_url=False)
        problems = [f"{'.'.join(map(str, each['loc'])) or what}: {each['msg'].lower()}" for each in found]
        told = "; ".join(problems[:_MOST_PROBLEMS])
        raise InputError(f"the {what} is not what this route takes: {told}; /docs shows what it takes") from None
