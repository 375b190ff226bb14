"""The base of all settings, and the error of those that can't be used."""

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from shared.errors import InputError


class SettingsError(InputError):
    """A setting is missing or malformed; the message names its environment variable."""

    code = "invalid-settings"


class SettingsGroup(BaseModel):
    """Base of the groups: values that can't be changed, each with its variable as `validation_alias`."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, hide_input_in_errors=True, validate_by_alias=True, validate_by_name=True
    )

    @classmethod
    def variables(cls) -> Iterator[tuple[str, FieldInfo]]:
        """Yield each setting's environment variable with its field."""
        return ((str(field.validation_alias), field) for field in cls.model_fields.values())
