"""The settings of every process, nested by service, read from `MAMMO_` variables and from `.env`.

`groups` and `serving` hold the groups, each a set of plain values; `processes` says which groups a process reads;
`read` takes them from the environment, once, at a process's entry point. Whatever lies below an entry point is given
the group that it needs. `make reference` writes `docs/reference/settings.md` and the list in `.env.example` from here.
"""

from shared.settings.base import SettingsError, SettingsGroup
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
from shared.settings.processes import (
    GROUPS,
    PROCESSES,
    WORKERS,
    AugmentProcessSettings,
    BatchProcessSettings,
    GatewayProcessSettings,
    InferenceProcessSettings,
    IngestProcessSettings,
    QueueSettings,
    RetrainingProcessSettings,
    TrainingProcessSettings,
    WorkerProcessSettings,
)
from shared.settings.read import read_settings
from shared.settings.retraining import RetrainingSettings
from shared.settings.serving import ServingSettings

__all__ = [
    "GROUPS",
    "PROCESSES",
    "WORKERS",
    "AugmentProcessSettings",
    "BatchProcessSettings",
    "BrokerSettings",
    "ClientSettings",
    "ComputeSettings",
    "GatewayProcessSettings",
    "GatewaySettings",
    "InferenceProcessSettings",
    "IngestProcessSettings",
    "IngestSettings",
    "LogSettings",
    "PacsSettings",
    "QueueSettings",
    "RetrainingProcessSettings",
    "RetrainingSettings",
    "ServingSettings",
    "SettingsError",
    "SettingsGroup",
    "StoreSettings",
    "TrainingProcessSettings",
    "TrainingSettings",
    "WorkerProcessSettings",
    "WorkerSettings",
    "read_settings",
]
