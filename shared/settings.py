"""Every knob of every service: one frozen object, read from the environment (and from `.env` beside the checkout).

`.env.example` and README list the same names; a test holds the three together.
"""

import os
import re
from functools import cache
from ipaddress import ip_address
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.addresses import check_host, check_redis, check_s3_endpoint, check_store
from shared.errors import InputError

_FEWEST_THREADS = 4
"""Of the inference service: probes have to be answered while films are."""

EngineKind = Literal["onnx", "onnx-int8", "torch"]


class SettingsError(InputError):
    """A setting is missing or malformed; the message names its environment variable."""

    code = "invalid-settings"


class Settings(BaseSettings):
    """Environment variables are the field names in capitals behind `MAMMO_`."""

    model_config = SettingsConfigDict(
        env_prefix="MAMMO_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    store: str = Field(description="where objects live: s3://BUCKET[/PREFIX], or a directory")
    redis_url: SecretStr = Field(description="the broker: redis://:PASSWORD@HOST:PORT/DB")

    s3_endpoint_url: str | None = Field(None, description="an S3-compatible server; empty means AWS")
    s3_region: str = Field("us-east-1", description="region of the bucket")
    s3_checksums: Literal["when_required", "when_supported"] = Field(
        "when_required", description="boto3's integrity headers; some compatible servers fail on when_supported"
    )

    visibility_timeout_s: int = Field(
        20,
        ge=10,
        description="a message that nobody acknowledged is delivered again after this; the same in every process",
    )
    task_retries: int = Field(
        4, ge=0, description="how often a film or a job that fails is tried again before it is set aside"
    )
    checkpoint_every_s: float = Field(
        0, ge=0, description="least time between two checkpoints of a training job; 0 leaves one after every epoch"
    )
    train_processes: int = Field(
        0, ge=0, description="processes that train one network together; 0 means one for each GPU, and one without any"
    )
    train_deterministic: bool = Field(
        False, description="a GPU gives the same weights again, and takes longer; a CPU always does"
    )
    train_compile: bool = Field(
        False, description="networks are compiled before they train on a GPU: a minute at first, then faster"
    )
    tensorboard_dir: str | None = Field(None, description="folder that training writes TensorBoard's events to")
    mlflow_uri: str | None = Field(None, description="MLflow's tracking server that training tells of its jobs")
    worker_processes: int = Field(1, ge=1, description="processes of one augment, segment or inference worker")
    worker_idle_s: float = Field(
        0, ge=0, description="a training worker that has had nothing to do for so long ends; 0 means never"
    )

    serve_network: str = Field("resnet50", description="the network that the inference service answers with")
    serve_alias: str = Field("production", description="the alias whose version is served")
    serve_engine: EngineKind = Field(
        "onnx", description="onnx: a CPU; onnx-int8: 8-bit integers where the model offers them; torch: a GPU"
    )
    serve_host: str = Field("127.0.0.1", description="address that the inference service listens on")
    serve_port: int = Field(8080, ge=0, le=65535, description="port that the inference service listens on")
    serve_threads: int = Field(
        0,
        ge=0,
        description="requests that one inference process holds at a time; 0 means those in hand, four a core, those "
        "that wait, and sixteen more",
    )
    serve_receive_s: float = Field(60, gt=0, description="a client that takes longer to send a request is hung up on")
    serve_waiting: int = Field(16, ge=0, description="how many requests wait for their turn; more are refused with 429")
    api_key: SecretStr | None = Field(
        None, description="the API key that commands send; a service that listens on loopback alone takes it as well"
    )
    max_image_mb: int = Field(64, ge=1, description="larger image files, and other request bodies, are refused")
    max_request_mb: int = Field(256, ge=1, description="larger forms, which hold several films, are refused")
    serve_in_hand_mb: int = Field(
        512, ge=1, description="request bodies that one inference process holds at a time; more are refused with 429"
    )
    batch_prefix: str = Field(
        "inbox/",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*/)+$",
        description="batches of predictions take images below this prefix of the store, and no others",
    )
    promotion_poll_s: float = Field(2.0, gt=0, description="how often the inference service looks for a promotion")

    cpu_threads: int = Field(0, ge=0, description="threads of one training or inference process; 0 means all cores")
    metrics_port: int = Field(0, ge=0, le=65535, description="port of a worker's /metrics; 0 means none")
    metrics_host: str = Field("127.0.0.1", description="address of a worker's /metrics")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="how much is logged")

    @field_validator("serve_threads")
    @classmethod
    def _none_or_enough(cls, threads: int) -> int:
        if 0 < threads < _FEWEST_THREADS:
            raise ValueError(f"{threads} are too few; set 0, or {_FEWEST_THREADS} at least")
        return threads

    @field_validator("redis_url")
    @classmethod
    def _a_broker(cls, address: SecretStr) -> SecretStr:
        check_redis(address.get_secret_value())
        return address

    @field_validator("s3_endpoint_url")
    @classmethod
    def _an_s3_server(cls, address: str | None) -> str | None:
        return check_s3_endpoint(address) if address else address

    @field_validator("store")
    @classmethod
    def _a_store(cls, place: str) -> str:
        return check_store(place)

    @field_validator("serve_host", "metrics_host")
    @classmethod
    def _a_host(cls, host: str) -> str:
        return check_host(host)

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        if not self.max_image_mb <= self.max_request_mb <= self.serve_in_hand_mb:
            raise ValueError(
                "a request has to hold an image, and the process a request: set MAMMO_MAX_IMAGE_MB, "
                "MAMMO_MAX_REQUEST_MB and MAMMO_SERVE_IN_HAND_MB so that none is less than the one before"
            )
        return self

    @property
    def cores(self) -> int:
        """How many cores a training or inference process takes."""
        return self.cpu_threads or os.cpu_count() or 1

    @property
    def serves_loopback_alone(self) -> bool:
        """Whether nobody beyond this machine reaches the inference service."""
        try:
            return ip_address(self.serve_host).is_loopback
        except ValueError:
            return self.serve_host == "localhost"


class _ClientSettings(BaseSettings):
    """What a command needs that only talks to a service: it runs where nothing else is set."""

    model_config = SettingsConfigDict(
        env_prefix="MAMMO_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    api_key: SecretStr | None = None


def client_key() -> str | None:
    """The API key that commands send.

    Raises:
        SettingsError: it could stand in no header.
    """
    secret = _ClientSettings().api_key
    key = secret.get_secret_value() if secret else ""
    if not re.fullmatch(r"[!-~]*", key):
        raise SettingsError("MAMMO_API_KEY: holds a blank, a line break or another character that is in no API key")
    return key or None


def _words(message: str) -> str:
    """What pydantic says, and what our own validators say behind its "Value error, "."""
    own = message.removeprefix("Value error, ")
    return own if own != message else message.lower()


@cache
def settings() -> Settings:
    """The settings of this process, read once.

    Raises:
        SettingsError: a variable is missing or malformed.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(_told(problem["loc"], problem["msg"]) for problem in error.errors())
        raise SettingsError(f"{problems}. Set it in the environment or in .env (see .env.example).") from None


def _told(place: tuple[int | str, ...], message: str) -> str:
    """One problem of a variable, or of several together."""
    if not place:
        return message.removeprefix("Value error, ")
    return f"MAMMO_{str(place[0]).upper()}: {_words(message)}"
