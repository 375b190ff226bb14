"""The processes: which groups each of them reads. An entry point reads one of these classes, or a single group."""

from pydantic import BaseModel, ConfigDict

from shared.settings.base import SettingsGroup
from shared.settings.gateway import GatewaySettings, PacsSettings
from shared.settings.groups import (
    BrokerSettings,
    ClientSettings,
    ComputeSettings,
    IngestSettings,
    LogSettings,
    StoreSettings,
    TrainingSettings,
    WorkerSettings,
)
from shared.settings.retraining import RetrainingSettings
from shared.settings.serving import ServingSettings


class ProcessSettings(BaseModel):
    """A process that reads several groups."""

    model_config = ConfigDict(frozen=True)


class IngestProcessSettings(ProcessSettings):
    """Ingestion without workers."""

    store: StoreSettings
    ingest: IngestSettings = IngestSettings()


class QueueSettings(ProcessSettings):
    """A command that starts or follows runs."""

    store: StoreSettings
    broker: BrokerSettings


class RetrainingProcessSettings(QueueSettings):
    """The command that retrains at set times."""

    retraining: RetrainingSettings = RetrainingSettings()


class WorkerProcessSettings(QueueSettings):
    """A worker of segment, and the base of the others."""

    log: LogSettings = LogSettings()
    worker: WorkerSettings = WorkerSettings()


class AugmentProcessSettings(WorkerProcessSettings):
    """A worker of augment, which ingests films as well."""

    ingest: IngestSettings = IngestSettings()


class TrainingProcessSettings(WorkerProcessSettings):
    """A worker of train."""

    compute: ComputeSettings = ComputeSettings()
    training: TrainingSettings = TrainingSettings()


class BatchProcessSettings(WorkerProcessSettings):
    """A worker of inference, which predicts batches as the service predicts films."""

    compute: ComputeSettings = ComputeSettings()
    serving: ServingSettings = ServingSettings()


class InferenceProcessSettings(QueueSettings):
    """The inference service."""

    log: LogSettings = LogSettings()
    compute: ComputeSettings = ComputeSettings()
    client: ClientSettings = ClientSettings()
    serving: ServingSettings = ServingSettings()


class GatewayProcessSettings(WorkerProcessSettings):
    """The gateway and its worker."""

    client: ClientSettings = ClientSettings()
    pacs: PacsSettings = PacsSettings()
    gateway: GatewaySettings = GatewaySettings()


GROUPS: tuple[type[SettingsGroup], ...] = (
    StoreSettings,
    BrokerSettings,
    IngestSettings,
    WorkerSettings,
    TrainingSettings,
    RetrainingSettings,
    ClientSettings,
    ServingSettings,
    ComputeSettings,
    LogSettings,
    PacsSettings,
    GatewaySettings,
)
"""Each setting stands in one of them."""

WORKERS: dict[str, type[WorkerProcessSettings]] = {
    "augment": AugmentProcessSettings,
    "segment": WorkerProcessSettings,
    "train": TrainingProcessSettings,
    "inference": BatchProcessSettings,
    "gateway": GatewayProcessSettings,
}
"""The settings of the worker of each service."""

ReadSettings = type[SettingsGroup] | type[ProcessSettings]

PROCESSES: dict[str, ReadSettings] = {
    "`mammo ingest`": IngestProcessSettings,
    "`mammo models`, `keys`, `cancel`, `doctor`": StoreSettings,
    "`mammo run`, `train`, `status RUN`, `resume`, `retry`": QueueSettings,
    "`mammo retrain`": RetrainingProcessSettings,
    "`mammo predict`, `batch`": ClientSettings,
    "inference service": InferenceProcessSettings,
    "gateway, `mammo gateway`": GatewayProcessSettings,
    **{f"{name} worker": settings for name, settings in WORKERS.items()},
}
"""The settings that each process reads, for the reference."""
