"""API keys over HTTP: what can be asked of them, and what is told about them."""

from typing import Annotated, Literal

from pydantic import Field

from shared.api.answer import WHOLE, Answer, Ask

Scope = Literal["predict", "metrics", "admin"]
SCOPES: tuple[Scope, ...] = ("predict", "metrics", "admin")


class KeyRequest(Ask):
    """A key that is to be made."""

    name: str = Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    scopes: tuple[Scope, ...] = Field(("predict",), min_length=1, max_length=len(SCOPES))
    days: Annotated[int, Field(ge=1, le=3650), WHOLE] | None = Field(
        None, description="after which it ends; null: never"
    )
    requests_a_minute: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] | None = None
    requests_at_once: Annotated[int, Field(ge=1, le=10_000), WHOLE] | None = None


class KeyFacts(Answer):
    """What is kept of a key: not the key."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    created: str
    expires: str | None
    requests_a_minute: int | None
    requests_at_once: int | None


class KeyMade(KeyFacts):
    key: str = Field(description="shown this once: only its hash is kept")


class KeyList(Answer):
    keys: tuple[KeyFacts, ...]
