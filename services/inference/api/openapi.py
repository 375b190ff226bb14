"""The OpenAPI 3.1 document, generated from the routes and from `shared.api`.

`describe` adds what neither a route's rule nor its types express; everything else is read from the application, so
that the document always matches the service.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Flask
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from services.inference.api.auth import RouteFunction, scope_of
from services.inference.api.problems import FOREIGN
from shared import __version__
from shared.api.problem import Problem, ProtocolProblem

Json = dict[str, Any]
_REF = "#/components/schemas/{model}"


@dataclass(frozen=True)
class Media:
    """Content that is not JSON: its media types."""

    types: tuple[str, ...]
    schema: Json | None = None


Content = type[BaseModel] | Media
PNG = Media(("image/png",))


@dataclass(frozen=True)
class Operation:
    """The description of a route, as given to `describe`."""

    tag: str
    summary: str
    answers: tuple[Content, ...]
    status: int
    body: tuple[Content, ...]
    query: type[BaseModel] | None
    headers: dict[str, str]
    errors: tuple[int, ...]


def describe(
    tag: str,
    summary: str,
    *answers: Content,
    status: int = 200,
    body: tuple[Content, ...] = (),
    query: type[BaseModel] | None = None,
    headers: dict[str, str] | None = None,
    errors: tuple[int, ...] = (),
) -> Callable[[RouteFunction], RouteFunction]:
    """Describe a route: purpose, bodies, answers, and its specific errors.

    Errors of API keys and their limits are added to every route.

    Args:
        tag: group of the route in the document.
        summary: one line on the route's purpose.
        answers: content types of a success.
        status: HTTP status of a success.
        body: content types of the request body.
        query: type of the query.
        headers: optional request headers, by name, with their purpose.
        errors: HTTP status codes of the route's own errors.
    """
    operation = Operation(tag, summary, answers, status, body, query, headers or {}, errors)

    def mark(view: RouteFunction) -> RouteFunction:
        view.operation = operation  # type: ignore[attr-defined]
        return view

    return mark


def operations(app: Flask) -> Iterator[tuple[str, str, str, Callable[..., Any], Operation]]:
    """Yield path, method, endpoint, function and description of each described route."""
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        operation = getattr(view, "operation", None)
        if operation is not None:
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield path, method.lower(), rule.endpoint, view, operation


def document(app: Flask, examples: dict[type[BaseModel], Any]) -> Json:
    """Build the complete document.

    Args:
        app: the application whose routes are described.
        examples: example values by request or response type.
    """
    found = list(operations(app))
    schemas = _schemas([operation for *_, operation in found])
    paths: Json = {}
    for path, method, endpoint, view, operation in found:
        name = endpoint.replace(".", "_") + ("_of_version" if "{version}" in path else "")
        paths.setdefault(path, {})[method] = _operation(path, name, view, operation, examples)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Mammostack inference",
            "version": __version__,
            "description": (
                "Classifies mammograms as normal, benign or malignant. For research only; not a medical device.\n\n"
                "Every route of this document except the probes needs an API key: `Authorization: Bearer <key>`. "
                "Errors are problem documents (RFC 9457)."
            ),
        },
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}},
        },
    }


def _schemas(found: list[Operation]) -> Json:
    asked = {each for operation in found for each in operation.body if not isinstance(each, Media)}
    answered = {each for operation in found for each in operation.answers if not isinstance(each, Media)}
    answered |= {Problem, ProtocolProblem}
    models: list[tuple[type[BaseModel], Any]] = [(each, "validation") for each in asked]
    models += [(each, "serialization") for each in answered]
    models.sort(key=lambda each: each[0].__name__)
    _, definitions = models_json_schema(models, ref_template=_REF)
    return dict(definitions["$defs"])


def _operation(
    path: str, name: str, view: Callable[..., Any], operation: Operation, examples: dict[type[BaseModel], Any]
) -> Json:
    scope = scope_of(view)
    described: Json = {"operationId": name, "tags": [operation.tag], "summary": operation.summary}
    if view.__doc__:
        described["description"] = " ".join(view.__doc__.split())
    if parameters := [*_path_parameters(path), *_query_parameters(operation), *_header_parameters(operation)]:
        described["parameters"] = parameters
    if operation.body:
        described["requestBody"] = {"required": True, "content": _content(operation.body, examples)}
    described["responses"] = _responses(path, operation, keyed=scope is not None, examples=examples)
    described["security"] = [] if scope is None else [{"key": [scope]}]
    return described


def _path_parameters(path: str) -> list[Json]:
    names = re.findall(r"{(\w+)}", path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _query_parameters(operation: Operation) -> list[Json]:
    if operation.query is None:
        return []
    members = TypeAdapter(operation.query).json_schema()["properties"]
    return [{"name": name, "in": "query", **_parameter(schema)} for name, schema in members.items()]


def _parameter(schema: Json) -> Json:
    """Describe a query parameter; null is dropped, because a query can't contain it."""
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    described = {"schema": {key: value for key, value in kinds[0].items() if key not in ("title", "description")}}
    if schema.get("default") is not None:
        described["schema"]["default"] = schema["default"]
    if "description" in schema:
        described["description"] = schema["description"]
    return described


def _header_parameters(operation: Operation) -> list[Json]:
    return [
        {"name": name, "in": "header", "description": purpose, "schema": {"type": "string", "maxLength": 200}}
        for name, purpose in operation.headers.items()
    ]


def _responses(path: str, operation: Operation, *, keyed: bool, examples: dict[type[BaseModel], Any]) -> Json:
    good: Json = {
        "description": "Success.",
        "headers": {"X-Request-Id": _text("Identifier of the request in the service's log")},
    }
    if operation.answers:
        good["content"] = _content(operation.answers, examples)
    responses: Json = {str(operation.status): good}
    for status in sorted({*operation.errors, *((401, 403, 429) if keyed else ())}):
        foreign = path.startswith(FOREIGN)
        kind, schema = ("json", ProtocolProblem) if foreign else ("problem+json", Problem)
        content = {f"application/{kind}": {"schema": {"$ref": _REF.format(model=schema.__name__)}}}
        responses[str(status)] = {"description": f"{HTTPStatus(status).phrase}.", "content": content}
        if status in (429, 503):
            responses[str(status)]["headers"] = {"Retry-After": _text("Seconds until a retry is useful")}
    return responses


def _content(contents: tuple[Content, ...], examples: dict[type[BaseModel], Any]) -> Json:
    described: Json = {}
    models = [each for each in contents if not isinstance(each, Media)]
    if models:
        refs = [{"$ref": _REF.format(model=model.__name__)} for model in models]
        described["application/json"] = {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}
        if shown := {model.__name__: {"value": examples[model]} for model in models if model in examples}:
            described["application/json"]["examples"] = shown
    for media in contents:
        if isinstance(media, Media):
            described |= {kind: {"schema": media.schema} if media.schema else {} for kind in media.types}
    return described


def _text(description: str) -> Json:
    return {"description": description, "schema": {"type": "string"}}
