"""Base classes of the API's documents."""

from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class ResponseModel(BaseModel):
    """A document sent by the service; its aliases are the JSON names."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)


class RequestModel(BaseModel):
    """A document received by the service: no unknown members, no type conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class QueryModel(BaseModel):
    """The query of a URL; numbers are parsed from its text."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""Annotates an int, behind its bounds: to JSON Schema 7.0 is an integer as well."""


def absent(description: str | None = None) -> Any:
    """Declare an optional member that is omitted from the JSON if it is None."""
    return Field(None, description=description, exclude_if=lambda value: value is None)
