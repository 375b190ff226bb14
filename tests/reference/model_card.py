"""The page of the model card, read from its pydantic model."""

import inspect
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from shared.modelling.card import ModelCard
from tests.reference.markdown import page, sentence, table


def model_card_page() -> str:
    """Describe every field of the card and of the records in it."""
    parts = [
        "`models/NETWORK/VERSION/card.json`; `mammo models show NETWORK VERSION` prints it, and the service "
        "answers with it at `/v1/models/NETWORK/card`.",
    ]
    for model in records(ModelCard):
        rows = [
            (f"`{name}`", f"`{type_text(info.annotation)}`", _default(info), sentence(info.description or ""))
            for name, info in model.model_fields.items()
        ]
        about = "" if model.__doc__ in (None, BaseModel.__doc__) else inspect.cleandoc(model.__doc__ or "")
        parts += [f"## {model.__name__}", " ".join(about.split()), table(("field", "type", "default", "meaning"), rows)]
    return page("Model card", *parts)


def records(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield a model and those that its fields hold, each once, in the order of their mention."""
    found, waiting = [], [model]
    while waiting:
        one = waiting.pop(0)
        if one not in found:
            found.append(one)
            waiting += [inner for info in one.model_fields.values() for inner in _models_in(info.annotation)]
    yield from found


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and not get_args(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def type_text(annotation: Any) -> str:
    """Return an annotation as it is written in code, without the modules of its types."""
    if inspect.isclass(annotation) and not get_args(annotation):
        return "null" if annotation is type(None) else annotation.__name__
    if "Literal" in str(annotation):
        return (
            " | ".join(f'"{value}"' for value in get_args(annotation))
            if _is_literal(annotation)
            else _union(annotation)
        )
    return _union(annotation)


def _is_literal(annotation: Any) -> bool:
    return all(isinstance(value, str) for value in get_args(annotation))


def _union(annotation: Any) -> str:
    inner = [("..." if each is Ellipsis else type_text(each)) for each in get_args(annotation)]
    origin = getattr(annotation, "__origin__", None)
    if inspect.isclass(origin):
        return f"{origin.__name__}[{', '.join(inner)}]"
    return " | ".join(inner) if inner else str(annotation)


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "none"
    if isinstance(info.default, tuple | BaseModel) or (isinstance(info.default, str) and len(info.default) > 20):
        return "given by the code"
    return "null" if info.default is None else f"`{info.default!r}`"
