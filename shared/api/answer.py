"""What all documents of the API have in common."""

from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Answer(BaseModel):
    """A document that is sent. Members with other names in JSON than in Python have an alias."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)


class Ask(BaseModel):
    """A document that is taken: nothing in it may be unknown, and no type is guessed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Query(BaseModel):
    """The query of a URL: text, so that numbers are read from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""Annotates an int, behind its bounds: to JSON Schema 7.0 is an integer as well."""


def absent(description: str | None = None) -> Any:
    """A member that is left out of the JSON where there is nothing to say."""
    return Field(None, description=description, exclude_if=lambda value: value is None)
