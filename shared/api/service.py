"""State of the service: liveness, readiness, models, limits of use."""

from typing import Literal

from pydantic import Field

from shared.api.base import ResponseModel


class Alive(ResponseModel):
    """Liveness of the process."""

    status: Literal["alive"] = "alive"


class Ready(ResponseModel):
    """Loaded model with verified checksums and golden outputs."""

    status: Literal["ready"] = "ready"
    network: str
    version: str


class ModelDetails(ResponseModel):
    """State of a served network."""

    name: str
    ready: bool
    version: str | None


class ModelList(ResponseModel):
    """Served networks; KServe's clients read only `models`."""

    models: tuple[str, ...]
    details: tuple[ModelDetails, ...]


class KeyLimits(ResponseModel):
    """Limits of the calling key; null: no limit."""

    requests_a_minute: int | None
    requests_at_once: int | None


class UsageLimits(ResponseModel):
    """Accepted formats and limits of use."""

    body_mb: int = Field(description="Maximum size of an image file and of a body other than a form, in MB")
    request_mb: int = Field(description="Maximum size of a form with several films, in MB")
    image_pixels: int
    images_in_a_request: int = Field(description="Maximum number of images per request of Open Inference and KServe V1")
    films_in_an_exam: int
    formats: tuple[str, ...]
    requests_at_work: int
    requests_waiting: int
    longest_timeout_ms: int
    key: KeyLimits
