"""Read settings from the environment and from `.env`."""

import os
from typing import TypeVar

from dotenv import dotenv_values
from pydantic import BaseModel, ValidationError

from shared.settings.base import SettingsError, SettingsGroup

_S = TypeVar("_S", bound=BaseModel)


def read_settings(kind: type[_S]) -> _S:
    """Read a group of settings, or those of a process; the environment wins over `.env` of the working folder.

    Raises:
        SettingsError: variables are missing or malformed; the message names all of them.
    """
    in_file = {name: value for name, value in dotenv_values(".env").items() if value is not None}
    variables = in_file | dict(os.environ)
    values = variables if issubclass(kind, SettingsGroup) else dict.fromkeys(kind.model_fields, variables)
    try:
        return kind.model_validate(values, by_alias=True, by_name=False)
    except ValidationError as error:
        problems = "; ".join(_problem_text(problem["loc"], problem["msg"]) for problem in error.errors())
        raise SettingsError(f"{problems}. Set it in the environment or in .env (see .env.example).") from None


def _problem_text(place: tuple[int | str, ...], message: str) -> str:
    """Describe one problem of a variable, or of several together; our own validators' words are kept."""
    own = message.removeprefix("Value error, ")
    words = own if own != message else message.lower()
    return f"{place[-1]}: {words}" if place and str(place[-1]).startswith("MAMMO_") else own
