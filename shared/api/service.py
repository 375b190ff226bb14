"""What the service tells about itself: whether it is ready, its models, its limits."""

from typing import Literal

from pydantic import Field

from shared.api.answer import Answer


class Alive(Answer):
    status: Literal["alive"] = "alive"


class Ready(Answer):
    """A model is loaded, its checksums are right, and its golden inputs gave their golden outputs."""

    status: Literal["ready"] = "ready"
    network: str
    version: str


class ModelDetails(Answer):
    name: str
    ready: bool
    version: str | None


class ModelList(Answer):
    """KServe's clients read `models` alone."""

    models: tuple[str, ...]
    details: tuple[ModelDetails, ...]


class KeyLimits(Answer):
    """Of the key that asks; null: without limit."""

    requests_a_minute: int | None
    requests_at_once: int | None


class UsageLimits(Answer):
    body_mb: int = Field(description="of an image file, and of a body that is no form")
    request_mb: int = Field(description="of a form with several films")
    image_pixels: int
    images_in_a_request: int = Field(description="by the foreign protocols")
    films_in_an_exam: int
    formats: tuple[str, ...]
    requests_at_work: int
    requests_waiting: int
    longest_timeout_ms: int
    key: KeyLimits
