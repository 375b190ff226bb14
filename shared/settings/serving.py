"""The settings of the inference service."""

import os
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from shared.addresses import check_host, is_loopback
from shared.modelling.engines.names import EngineSetting
from shared.settings.base import SettingsGroup

_FEWEST_THREADS = 4
"""Of the inference service: probes have to be answered while films are."""


class ServingSettings(SettingsGroup):
    """The inference service."""

    network: str = Field(
        "resnet50",
        validation_alias="MAMMO_SERVE_NETWORK",
        description="The network that the service predicts with: modified_cnn, alexnet or resnet50.",
    )
    alias: str = Field(
        "production",
        validation_alias="MAMMO_SERVE_ALIAS",
        description="The alias whose version is served.",
    )
    engine: EngineSetting = Field(
        "auto",
        validation_alias="MAMMO_SERVE_ENGINE",
        description="Engine that runs the network. auto: the fastest on this CPU of those that the model's version "
        "offers, as measured. onnx (ONNX Runtime) or openvino: single precision; openvino-bf16: bfloat16; onnx-int8 or "
        "openvino-int8: 8-bit integers; each falls back to single precision where the version does not offer its "
        "numbers. torch: a GPU.",
    )
    cache: str | None = Field(
        None,
        validation_alias="MAMMO_SERVE_CACHE",
        description="Folder of compiled networks and measured engines, so that a service starts again quickly; empty "
        "means ~/.cache/mammostack. Only this service may be able to write to it.",
    )
    local_scopes: str = Field(
        "predict",
        validation_alias="MAMMO_API_KEY_SCOPES",
        description="Scopes, separated by commas, of the key in MAMMO_API_KEY at a service that listens on loopback "
        "alone: predict, metrics, admin.",
    )
    host: str = Field(
        "127.0.0.1",
        validation_alias="MAMMO_SERVE_HOST",
        description="Address that the service listens on (in a container 0.0.0.0).",
    )
    port: int = Field(
        8080,
        validation_alias="MAMMO_SERVE_PORT",
        ge=0,
        le=65535,
        description="Port that the service listens on.",
    )
    threads: int = Field(
        0,
        validation_alias="MAMMO_SERVE_THREADS",
        ge=0,
        description="Requests that one inference process holds at a time. 0: those in hand, two a core, those that "
        "wait, and sixteen more.",
    )
    receive_s: float = Field(
        60,
        validation_alias="MAMMO_SERVE_RECEIVE_S",
        gt=0,
        description="Seconds that a client has to send the body of a request; then the connection is closed.",
    )
    waiting: int = Field(
        16,
        validation_alias="MAMMO_SERVE_WAITING",
        ge=0,
        description="Number of requests that wait for their turn; more are refused with 429.",
    )
    max_image_mb: int = Field(
        64,
        validation_alias="MAMMO_MAX_IMAGE_MB",
        ge=1,
        description="Larger image files are refused, and larger request bodies other than multipart forms (MB).",
    )
    max_request_mb: int = Field(
        256,
        validation_alias="MAMMO_MAX_REQUEST_MB",
        ge=1,
        description="Larger multipart forms, which hold several films, are refused (MB).",
    )
    in_hand_mb: int = Field(
        512,
        validation_alias="MAMMO_SERVE_IN_HAND_MB",
        ge=1,
        description="Request bodies that one inference process holds at a time, all together (MB); a request for which "
        "there is no room is refused with 503.",
    )
    batch_prefix: str = Field(
        "inbox/",
        validation_alias="MAMMO_BATCH_PREFIX",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*/)+$",
        description="Batches of predictions take images below this prefix of the store, and no others.",
    )
    promotion_poll_s: float = Field(
        2.0,
        validation_alias="MAMMO_PROMOTION_POLL_S",
        gt=0,
        description="Seconds between two checks for a promotion.",
    )

    @field_validator("threads")
    @classmethod
    def _none_or_enough(cls, threads: int) -> int:
        if 0 < threads < _FEWEST_THREADS:
            raise ValueError(f"{threads} are too few; set 0, or {_FEWEST_THREADS} at least")
        return threads

    @field_validator("host")
    @classmethod
    def _a_serving_host(cls, host: str) -> str:
        return check_host(host)

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        if not self.max_image_mb <= self.max_request_mb <= self.in_hand_mb:
            raise ValueError(
                "a request has to hold an image, and the process a request: set MAMMO_MAX_IMAGE_MB, "
                "MAMMO_MAX_REQUEST_MB and MAMMO_SERVE_IN_HAND_MB so that none is less than the one before"
            )
        return self

    @property
    def cache_folder(self) -> Path | None:
        """The folder of compiled networks; None if none is set and this user has no home."""
        if self.cache:
            return Path(self.cache)
        try:
            return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mammostack"
        except RuntimeError:
            return None

    @property
    def serves_loopback_alone(self) -> bool:
        """True if the inference service can be reached from this machine alone."""
        return is_loopback(self.host)
