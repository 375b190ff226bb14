"""API keys over HTTP: requests and responses."""

from typing import Annotated, Literal

from pydantic import Field

from shared.api.base import WHOLE, RequestModel, ResponseModel

Scope = Literal["predict", "metrics", "admin"]
SCOPES: tuple[Scope, ...] = ("predict", "metrics", "admin")


class KeyRequest(RequestModel):
    """An API key to be created."""

    name: str = Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    scopes: tuple[Scope, ...] = Field(("predict",), min_length=1, max_length=len(SCOPES))
    days: Annotated[int, Field(ge=1, le=3650), WHOLE] | None = Field(
        None, description="Days until the key expires; null: never"
    )
    requests_a_minute: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] | None = None
    requests_at_once: Annotated[int, Field(ge=1, le=10_000), WHOLE] | None = None


class KeyFacts(ResponseModel):
    """Stored properties of an API key, without the key itself."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    created: str
    expires: str | None
    requests_a_minute: int | None
    requests_at_once: int | None


class KeyMade(KeyFacts):
    """A created API key."""

    key: str = Field(description="The key; shown only here, because the store holds only its hash")


class KeyList(ResponseModel):
    """All API keys, without the keys themselves."""

    keys: tuple[KeyFacts, ...]
