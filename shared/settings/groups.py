"""The groups that processes share, and those of workers and of training."""

import os
import re
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from shared.addresses import check_host, check_redis, check_s3_endpoint, check_store
from shared.settings.base import SettingsError, SettingsGroup

_FEWEST_CHARACTERS = 32


class StoreSettings(SettingsGroup):
    """The object store."""

    url: str = Field(
        validation_alias="MAMMO_STORE",
        description="Where objects live: s3://BUCKET[/PREFIX], or a directory. No default outside compose, which takes "
        "s3://mammostack.",
        examples=["s3://mammostack"],
    )
    s3_endpoint_url: str | None = Field(
        None,
        validation_alias="MAMMO_S3_ENDPOINT_URL",
        description="An S3-compatible server; empty means AWS. Compose takes its own server unless this is set (an "
        "empty value counts).",
    )
    s3_region: str = Field("us-east-1", validation_alias="MAMMO_S3_REGION", description="Region of the bucket.")
    s3_checksums: Literal["when_required", "when_supported"] = Field(
        "when_required",
        validation_alias="MAMMO_S3_CHECKSUMS",
        description="boto3's integrity headers, when_required or when_supported; some compatible servers fail on "
        "when_supported.",
    )

    @field_validator("url")
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
        validation_alias="MAMMO_REDIS_URL",
        description="The broker. No default outside compose, which makes it from REDIS_PASSWORD. In a password write % "
        "as %25, / as %2F, # as %23, ? as %3F, ; as %3B, [ as %5B and ] as %5D.",
        examples=["redis://:PASSWORD@localhost:6379/0"],
    )
    visibility_timeout_s: int = Field(
        20,
        validation_alias="MAMMO_VISIBILITY_TIMEOUT_S",
        ge=10,
        description="Seconds after which a message that no worker acknowledged is delivered again; the same in every "
        "process.",
    )

    @field_validator("redis_url")
    @classmethod
    def _a_broker(cls, address: SecretStr) -> SecretStr:
        check_redis(address.get_secret_value())
        return address


class IngestSettings(SettingsGroup):
    """Ingestion of patients' films."""

    pseudonym_key: SecretStr | None = Field(
        None,
        validation_alias="MAMMO_PSEUDONYM_KEY",
        description="Secret from which `mammo ingest` makes pseudonyms of patients, exams and films, 32 characters or "
        "more. The same for all ingests of a data set; keep it outside the store. Needed for own exams alone.",
    )

    @field_validator("pseudonym_key")
    @classmethod
    def _long_enough(cls, key: SecretStr | None) -> SecretStr | None:
        if key and 0 < len(key.get_secret_value()) < _FEWEST_CHARACTERS:
            raise ValueError(f"has fewer than {_FEWEST_CHARACTERS} characters; make one with `openssl rand -hex 32`")
        return key

    @property
    def key(self) -> bytes:
        """The secret.

        Raises:
            SettingsError: it is not set.
        """
        if not (secret := self.pseudonym_key and self.pseudonym_key.get_secret_value()):
            raise SettingsError(
                "MAMMO_PSEUDONYM_KEY: needed to hide the ids of patients; set it to a secret of your own, made with "
                "`openssl rand -hex 32`"
            )
        return secret.encode()


class LogSettings(SettingsGroup):
    """Logs."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias="MAMMO_LOG_LEVEL", description="How much is logged: DEBUG, INFO, WARNING or ERROR."
    )


class ComputeSettings(SettingsGroup):
    """Processor cores."""

    cpu_threads: int = Field(
        0,
        validation_alias="MAMMO_CPU_THREADS",
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
        validation_alias="MAMMO_API_KEY",
        description="The API key that commands send. An inference service that listens on loopback alone accepts it as "
        "well, with the scopes of MAMMO_API_KEY_SCOPES; where the store has the same key, what the store says counts.",
    )

    @field_validator("api_key")
    @classmethod
    def _fit_for_a_header(cls, key: SecretStr | None) -> SecretStr | None:
        if key and not re.fullmatch(r"[!-~]*", key.get_secret_value()):
            raise ValueError("holds a blank, a line break or another character that is in no API key")
        return key

    @property
    def key(self) -> str | None:
        """The API key in the clear, None where there is none."""
        return (self.api_key and self.api_key.get_secret_value()) or None


class WorkerSettings(SettingsGroup):
    """Workers."""

    retries: int = Field(
        4,
        validation_alias="MAMMO_TASK_RETRIES",
        ge=0,
        description="Number of times that a film or a job that fails is tried again before it is set aside.",
    )
    processes: int = Field(
        1,
        validation_alias="MAMMO_WORKER_PROCESSES",
        ge=1,
        description="Processes of one augment, segment or inference worker.",
    )
    idle_s: float = Field(
        0,
        validation_alias="MAMMO_WORKER_IDLE_S",
        ge=0,
        description="Seconds without work after which a training worker ends, for autoscalers; 0 means never.",
    )
    metrics_host: str = Field(
        "127.0.0.1",
        validation_alias="MAMMO_METRICS_HOST",
        description="Address of a worker's /metrics (in a container 0.0.0.0).",
    )
    metrics_port: int = Field(
        0,
        validation_alias="MAMMO_METRICS_PORT",
        ge=0,
        le=65535,
        description="Port of a worker's /metrics; 0 means none (in a container 9100).",
    )

    @field_validator("metrics_host")
    @classmethod
    def _a_host(cls, host: str) -> str:
        return check_host(host)


class TrainingSettings(SettingsGroup):
    """Training."""

    checkpoint_every_s: float = Field(
        0,
        validation_alias="MAMMO_CHECKPOINT_EVERY_S",
        ge=0,
        description="Least seconds between two checkpoints of a training job; 0 leaves one after every epoch. A job "
        "that is stopped always leaves one.",
    )
    processes: int = Field(
        0,
        validation_alias="MAMMO_TRAIN_PROCESSES",
        ge=0,
        description="Processes that train one network together; 0 means one for each GPU that is visible, and one "
        "where there is none.",
    )
    deterministic: bool = Field(
        False,
        validation_alias="MAMMO_TRAIN_DETERMINISTIC",
        description="Make training on a GPU give the same weights again, at the price of some speed; a CPU always "
        "does.",
    )
    compile: bool = Field(
        False,
        validation_alias="MAMMO_TRAIN_COMPILE",
        description="Compile networks before they train on a GPU: a minute at the beginning of each job, then faster.",
    )
    tensorboard_dir: str | None = Field(
        None,
        validation_alias="MAMMO_TENSORBOARD_DIR",
        description="Folder that training writes its progress to for TensorBoard; empty means none. An extra: pip "
        "install -r services/train/requirements-trackers.txt",
    )
    mlflow_uri: str | None = Field(
        None,
        validation_alias="MAMMO_MLFLOW_URI",
        description="Address of the MLflow tracking server that training reports to; empty means none. An extra, as "
        "for TensorBoard.",
    )
