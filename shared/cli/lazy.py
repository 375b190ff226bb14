"""A group of commands whose modules are imported when one of their commands is chosen, not to list them."""

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any, ClassVar, NamedTuple, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

STYLE: dict[str, Any] = {"add_completion": False, "rich_markup_mode": "markdown", "pretty_exceptions_enable": False}
"""How every Typer of the command line is made, so that help and errors look alike."""


class CommandEntry(NamedTuple):
    """A command as the list of commands shows it.

    `target` names the command's function, or the Typer of a group of commands, as `module:attribute`. `summary` is the
    first paragraph of its help, repeated here because to read it there would import the module.
    """

    target: str
    panel: str
    summary: str


class LazyGroup(TyperGroup):
    """Import the module of a command once that command is chosen; subclasses name the `entries`."""

    entries: ClassVar[Mapping[str, CommandEntry]] = {}

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = cast("MutableMapping[str, Any]", _Loaded(self.entries))  # nothing adds to it

    def list_commands(self, _ctx: Any) -> list[str]:
        return list(self.entries)

    def get_command(self, _ctx: Any, cmd_name: str) -> TyperCommand | None:
        """Return what help shows of a command, or None where there is no such command."""
        entry = self.entries.get(cmd_name)
        return entry and TyperCommand(cmd_name, help=entry.summary, rich_help_panel=entry.panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        return name, name and self.commands[name], rest


class _Loaded(Mapping[str, Any]):
    """The commands themselves by name; to look one up imports its module."""

    def __init__(self, entries: Mapping[str, CommandEntry]) -> None:
        self._entries = entries

    def __getitem__(self, name: str) -> Any:
        entry = self._entries[name]
        module, _, attribute = entry.target.partition(":")
        target = getattr(import_module(module), attribute)
        holder = typer.Typer(**STYLE)
        holder.callback()(lambda: None)  # with one, a Typer that has a single command is a group as well
        if isinstance(target, typer.Typer):
            holder.add_typer(target, name=name, rich_help_panel=entry.panel)
        else:
            holder.command(name, rich_help_panel=entry.panel)(target)
        return cast("TyperGroup", get_command(holder)).commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
