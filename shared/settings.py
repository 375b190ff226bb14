"""The settings of every process, in groups by service, read from `MAMMO_` variables and from `.env`.

A group inherits those that it needs, so that a process reads and checks its own settings alone; `PROCESSES` says which
group a process reads. `make reference` writes `docs/reference/settings.md` and the list in `.env.example` from here.
"""

import os
import re
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, Self, TypeVar, overload

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.addresses import check_host, check_redis, check_s3_endpoint, check_store
from shared.errors import InputError
from shared.modelling.engines.names import EngineSetting

_FEWEST_THREADS = 4
"""Of the inference service: probes have to be answered while films are."""


class SettingsError(InputError):
    """A setting is missing or malformed; the message names its environment variable."""

    code = "invalid-settings"


class SettingsGroup(BaseSettings):
    """Base of the groups. A variable's name is the field's name in capitals after `MAMMO_`."""

    model_config = SettingsConfigDict(
        env_prefix="MAMMO_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )


class StoreSettings(SettingsGroup):
    """The object store."""

    store: str = Field(
        description="Where objects live: s3://BUCKET[/PREFIX], or a directory. No default outside compose, which takes "
        "s3://mammostack.",
        examples=["s3://mammostack"],
    )
    s3_endpoint_url: str | None = Field(
        None,
        description="An S3-compatible server; empty means AWS. Compose takes its own server unless this is set (an "
        "empty value counts).",
    )
    s3_region: str = Field("us-east-1", description="Region of the bucket.")
    s3_checksums: Literal["when_required", "when_supported"] = Field(
        "when_required",
        description="boto3's integrity headers, when_required or when_supported; some compatible servers fail on "
        "when_supported.",
    )

    @field_validator("store")
    @classmethod
    def _a_store(cls, place: str) -> str:
        return check_store(place)

    @field_validator("s3_endpoint_url")
    @classmethod
    def _an_s3_server(cls, address: str | None) -> str | None:
        return check_s3_endpoint(address) if address else address


class BrokerSettings(SettingsGroup):
    """The broker."""

    redis_url: SecretStr = Field(
        description="The broker. No default outside compose, which makes it from REDIS_PASSWORD. In a password write % "
        "as %25, / as %2F, # as %23, ? as %3F, ; as %3B, [ as %5B and ] as %5D.",
        examples=["redis://:PASSWORD@localhost:6379/0"],
    )
    visibility_timeout_s: int = Field(
        20,
        ge=10,
        description="Seconds after which a message that no worker acknowledged is delivered again; the same in every "
        "process.",
    )

    @field_validator("redis_url")
    @classmethod
    def _a_broker(cls, address: SecretStr) -> SecretStr:
        check_redis(address.get_secret_value())
        return address


class LogSettings(SettingsGroup):
    """Logs."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="How much is logged: DEBUG, INFO, WARNING or ERROR."
    )


class ComputeSettings(SettingsGroup):
    """Processor cores."""

    cpu_threads: int = Field(
        0,
        ge=0,
        description="Threads of one training or inference process; 0 means all cores of the machine, whatever share of "
        "them a container may use.",
    )

    @property
    def cores(self) -> int:
        """Number of cores that a training or inference process takes."""
        return self.cpu_threads or os.cpu_count() or 1


class ClientSettings(SettingsGroup):
    """Commands that talk to the inference service."""

    api_key: SecretStr | None = Field(
        None,
        description="The API key that commands send. An inference service that listens on loopback alone accepts it as "
        "well.",
    )


class WorkerSettings(StoreSettings, BrokerSettings, LogSettings):
    """Workers."""

    task_retries: int = Field(
        4, ge=0, description="Number of times that a film or a job that fails is tried again before it is set aside."
    )
    worker_processes: int = Field(1, ge=1, description="Processes of one augment, segment or inference worker.")
    worker_idle_s: float = Field(
        0, ge=0, description="Seconds without work after which a training worker ends, for autoscalers; 0 means never."
    )
    metrics_host: str = Field("127.0.0.1", description="Address of a worker's /metrics (in a container 0.0.0.0).")
    metrics_port: int = Field(
        0, ge=0, le=65535, description="Port of a worker's /metrics; 0 means none (in a container 9100)."
    )

    @field_validator("metrics_host")
    @classmethod
    def _a_host(cls, host: str) -> str:
        return check_host(host)


class TrainingSettings(WorkerSettings, ComputeSettings):
    """Training."""

    checkpoint_every_s: float = Field(
        0,
        ge=0,
        description="Least seconds between two checkpoints of a training job; 0 leaves one after every epoch. A job "
        "that is stopped always leaves one.",
    )
    train_processes: int = Field(
        0,
        ge=0,
        description="Processes that train one network together; 0 means one for each GPU that is visible, and one "
        "where there is none.",
    )
    train_deterministic: bool = Field(
        False,
        description="Make training on a GPU give the same weights again, at the price of some speed; a CPU always "
        "does.",
    )
    train_compile: bool = Field(
        False,
        description="Compile networks before they train on a GPU: a minute at the beginning of each job, then faster.",
    )
    tensorboard_dir: str | None = Field(
        None,
        description="Folder that training writes its progress to for TensorBoard; empty means none. An extra: pip "
        "install -r services/train/requirements-trackers.txt",
    )
    mlflow_uri: str | None = Field(
        None,
        description="Address of the MLflow tracking server that training reports to; empty means none. An extra, as "
        "for TensorBoard.",
    )


class ServingSettings(StoreSettings, BrokerSettings, LogSettings, ComputeSettings, ClientSettings):
    """The inference service."""

    serve_network: str = Field(
        "resnet50", description="The network that the service predicts with: modified_cnn, alexnet or resnet50."
    )
    serve_alias: str = Field("production", description="The alias whose version is served.")
    serve_engine: EngineSetting = Field(
        "auto",
        description="Engine that runs the network. auto: the fastest on this CPU of those that the model's version "
        "offers, as measured. onnx (ONNX Runtime) or openvino: single precision; openvino-bf16: bfloat16; onnx-int8 or "
        "openvino-int8: 8-bit integers; each falls back to single precision where the version does not offer its "
        "numbers. torch: a GPU.",
    )
    serve_cache: str | None = Field(
        None,
        description="Folder of compiled networks and measured engines, so that a service starts again quickly; empty "
        "means ~/.cache/mammostack. Only this service may be able to write to it.",
    )
    serve_host: str = Field("127.0.0.1", description="Address that the service listens on (in a container 0.0.0.0).")
    serve_port: int = Field(8080, ge=0, le=65535, description="Port that the service listens on.")
    serve_threads: int = Field(
        0,
        ge=0,
        description="Requests that one inference process holds at a time. 0: those in hand, four a core, those that "
        "wait, and sixteen more.",
    )
    serve_receive_s: float = Field(
        60, gt=0, description="Seconds that a client has to send the body of a request; then the connection is closed."
    )
    serve_waiting: int = Field(
        16, ge=0, description="Number of requests that wait for their turn; more are refused with 429."
    )
    max_image_mb: int = Field(
        64,
        ge=1,
        description="Larger image files are refused, and larger bodies of requests that are no form (MB).",
    )
    max_request_mb: int = Field(256, ge=1, description="Larger forms are refused; they hold several films (MB).")
    serve_in_hand_mb: int = Field(
        512,
        ge=1,
        description="Request bodies that one inference process holds at a time, all together (MB); a request for which "
        "there is no room is refused with 429.",
    )
    batch_prefix: str = Field(
        "inbox/",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*/)+$",
        description="Batches of predictions take images below this prefix of the store, and no others.",
    )
    promotion_poll_s: float = Field(2.0, gt=0, description="Seconds between two looks for a promotion.")

    @field_validator("serve_threads")
    @classmethod
    def _none_or_enough(cls, threads: int) -> int:
        if 0 < threads < _FEWEST_THREADS:
            raise ValueError(f"{threads} are too few; set 0, or {_FEWEST_THREADS} at least")
        return threads

    @field_validator("serve_host")
    @classmethod
    def _a_serving_host(cls, host: str) -> str:
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
    def cache_folder(self) -> Path | None:
        """The folder of compiled networks; None if none is set and this user has no home."""
        if self.serve_cache:
            return Path(self.serve_cache)
        try:
            return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mammostack"
        except RuntimeError:
            return None

    @property
    def serves_loopback_alone(self) -> bool:
        """True if the inference service can be reached from this machine alone."""
        try:
            return ip_address(self.serve_host).is_loopback
        except ValueError:
            return self.serve_host == "localhost"


class BatchWorkerSettings(WorkerSettings, ServingSettings):  # type: ignore[misc]  # pydantic's mypy plugin and diamonds
    """The worker of batches: a worker that predicts as the service does."""


class Settings(TrainingSettings, BatchWorkerSettings):  # type: ignore[misc]  # the same
    """All settings, for whatever starts several processes."""


GROUPS: tuple[type[SettingsGroup], ...] = (
    StoreSettings,
    BrokerSettings,
    WorkerSettings,
    TrainingSettings,
    ClientSettings,
    ServingSettings,
    ComputeSettings,
    LogSettings,
)
"""Each setting stands in one of them."""

WORKER_GROUPS: dict[str, type[WorkerSettings]] = {
    "augment": WorkerSettings,
    "segment": WorkerSettings,
    "train": TrainingSettings,
    "inference": BatchWorkerSettings,
}
"""The settings that each worker reads."""

PROCESSES: dict[str, tuple[type[SettingsGroup], ...]] = {
    "`mammo ingest`, `models`, `keys`, `cancel`": (StoreSettings,),
    "`mammo run`, `train`, `status RUN`, `resume`, `retry`": (StoreSettings, BrokerSettings),
    "`mammo predict`, `batch`": (ClientSettings,),
    "inference service": (ServingSettings,),
    **{f"{name} worker": (group,) for name, group in WORKER_GROUPS.items()},
}
"""The settings that each process reads, for the reference."""

_Group = TypeVar("_Group", bound=SettingsGroup)


@cache
def _read(group: type[SettingsGroup]) -> SettingsGroup:
    try:
        return group()
    except ValidationError as error:
        problems = "; ".join(_problem_text(problem["loc"], problem["msg"]) for problem in error.errors())
        raise SettingsError(f"{problems}. Set it in the environment or in .env (see .env.example).") from None


class _Reader:
    """The settings of this process, each group read once."""

    @overload
    def __call__(self) -> Settings: ...
    @overload
    def __call__(self, group: type[_Group]) -> _Group: ...
    def __call__(self, group: type[SettingsGroup] = Settings) -> SettingsGroup:
        """Read a group of settings.

        Raises:
            SettingsError: a variable of the group is missing or malformed.
        """
        return _read(group)

    def cache_clear(self) -> None:
        """Read the environment anew at the next call."""
        _read.cache_clear()


settings = _Reader()


def client_key() -> str | None:
    """Return the API key that commands send.

    Raises:
        SettingsError: it has a character that can't stand in a header.
    """
    secret = ClientSettings().api_key
    key = secret.get_secret_value() if secret else ""
    if not re.fullmatch(r"[!-~]*", key):
        raise SettingsError("MAMMO_API_KEY: holds a blank, a line break or another character that is in no API key")
    return key or None


def _problem_text(place: tuple[int | str, ...], message: str) -> str:
    """Describe one problem of a variable, or of several together."""
    if not place:
        return message.removeprefix("Value error, ")
    return f"MAMMO_{str(place[0]).upper()}: {_words(message)}"


def _words(message: str) -> str:
    """Return pydantic's message in small letters, or that of our own validators."""
    own = message.removeprefix("Value error, ")
    return own if own != message else message.lower()
