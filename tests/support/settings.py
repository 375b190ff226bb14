"""Settings of tests: the variables that there are, and those of processes that reach nothing outside."""

from typing import Any, get_type_hints

from pydantic.fields import FieldInfo

from shared.settings import (
    GROUPS,
    BrokerSettings,
    ClientSettings,
    ComputeSettings,
    InferenceProcessSettings,
    ServingSettings,
    StoreSettings,
)
from shared.settings.base import SettingsGroup
from shared.settings.processes import ReadSettings

VARIABLES: dict[str, FieldInfo] = {name: field for group in GROUPS for name, field in group.variables()}
"""The environment variable of every setting, with its field."""


def groups_of(settings: ReadSettings) -> dict[str, type[SettingsGroup]]:
    """The groups of a process by name; those of a single group are itself."""
    if issubclass(settings, SettingsGroup):
        return {"": settings}
    return {name: typed for name, typed in get_type_hints(settings).items() if name in settings.model_fields}


NO_BROKER = BrokerSettings(redis_url="redis://:unused@127.0.0.1:1/0")


def inference_settings(
    store: str, broker: BrokerSettings = NO_BROKER, key: str | None = None, **serving: Any
) -> InferenceProcessSettings:
    """Settings of an inference service on one core; `serving` are fields of ServingSettings."""
    return InferenceProcessSettings(
        store=StoreSettings(url=store),
        broker=broker,
        compute=ComputeSettings(cpu_threads=1),
        client=ClientSettings(api_key=key),
        serving=ServingSettings(**{"local_scopes": "predict,metrics,admin"} | serving),
    )
