"""The page of the settings, and the list of them in `.env.example`."""

import textwrap
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from shared.settings import GROUPS, PROCESSES
from shared.settings.processes import ReadSettings
from tests.reference.markdown import page, table
from tests.support.settings import groups_of

MARK = "# ---- Settings of Mammostack (shared/settings/), with their defaults "


def settings_page() -> str:
    """Describe every setting: name, type, default, meaning, processes that read it."""
    parts = [
        "Each setting is an environment variable, or a line of `.env` in the working folder; the environment wins. A "
        "process reads and checks its own settings alone. `.env.example` lists them all to copy.",
    ]
    for group in GROUPS:
        rows = [
            (f"`{variable}`", type_name(field), default_text(field), field.description or "", readers(variable))
            for variable, field in group.variables()
        ]
        title = (group.__doc__ or "").strip().rstrip(".")
        parts += [f"## {title}", table(("variable", "type", "default", "meaning", "read by"), rows)]
    needed = [(process, ", ".join(required(settings)) or "none") for process, settings in PROCESSES.items()]
    parts += ["## What must be set", table(("process", "variables without a default"), needed)]
    return page("Settings", *parts)


def env_example(current: str) -> str:
    """Return `.env.example` with the list of settings made anew; the part before it is kept."""
    head = current[: current.index(MARK)]
    lines = [MARK.ljust(120, "-")]
    for group in GROUPS:
        described = [(variable, field) for variable, field in group.variables() if f"\n{variable}=" not in head]
        if described:
            lines += ["", f"# -- {(group.__doc__ or '').strip().rstrip('.')} --"]
        for variable, field in described:
            lines += [*_comment(field.description or ""), f"#{variable}={example(field)}"]
    return head + "\n".join(lines) + "\n"


def type_name(info: FieldInfo) -> str:
    """Return the type of a setting in words, with its bounds."""
    kinds = [kind for kind in get_args(info.annotation) if kind is not type(None)]
    if get_origin(info.annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(info.annotation))
    kind: Any = kinds[0] if kinds else info.annotation
    name = {str: "text", SecretStr: "secret", int: "integer", float: "number", bool: "`True` or `False`"}[kind]
    words = {"ge": "at least", "gt": "above", "le": "at most"}
    bounds = [
        f"{words[bound]} {value:g}"
        for rule in info.metadata
        for bound in words
        if (value := getattr(rule, bound, None)) is not None
    ]
    return ", ".join([name, *bounds])


def default_text(info: FieldInfo) -> str:
    """Return the default as one writes it, or that there is none."""
    if info.is_required():
        return "none: must be set"
    return "empty" if info.default in (None, "") else f"`{info.default}`"


def example(info: FieldInfo) -> str:
    """Return the value that `.env.example` shows: the default, or an example where there is none."""
    if info.is_required():
        return str((info.examples or [""])[0])
    return "" if info.default is None else str(info.default)


def readers(variable: str) -> str:
    """Return the processes that read a variable."""
    return ", ".join(process for process, settings in PROCESSES.items() if variable in dict(_read_by(settings)))


def required(settings: ReadSettings) -> list[str]:
    """Return the variables without which a process does not start."""
    return [f"`{variable}`" for variable, field in _read_by(settings) if field.is_required()]


def _read_by(settings: ReadSettings) -> Iterator[tuple[str, FieldInfo]]:
    return (each for group in groups_of(settings).values() for each in group.variables())


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 120, initial_indent="# ", subsequent_indent="# ", break_long_words=False)
