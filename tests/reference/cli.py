"""The page of the command line, read from typer."""

from collections.abc import Iterator
from typing import Any

import typer

from shared.cli.main import app
from tests.reference.markdown import page, sentence, table


def cli_page() -> str:
    """Describe every command with its arguments and options."""
    parts = [
        "`./mammo COMMAND` from a checkout, `mammo COMMAND` in the containers. `mammo COMMAND --help` says the same. A "
        "command that fails writes one line to standard error and exits with 1; 2 means a wrong option, 130 an "
        "interrupt.",
    ]
    for words, command, context in commands():
        usage = " ".join(["mammo", *words, *command.collect_usage_pieces(context)])
        rows = [(f"`{names}`", sentence(text)) for names, text in parameters(command, context)]
        parts += [f"## `mammo {' '.join(words)}`", _plain(command.help or ""), f"    {usage}"]
        parts += [table(("argument or option", "meaning"), rows)] if rows else []
    return page("Command line", *parts)


def commands() -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Yield the words, the command and its context of every command that does something."""
    root: Any = typer.main.get_command(app)
    yield from _below((), root, root.make_context("mammo", [], resilient_parsing=True))


def _below(words: tuple[str, ...], command: Any, context: Any) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    if not hasattr(command, "list_commands"):
        yield words, command, context
        return
    for name in sorted(command.list_commands(context)):
        child = command.commands[name]  # loaded whole: `get_command` gives what help lists of it
        yield from _below((*words, name), child, type(context)(child, info_name=name, parent=context))


def parameters(command: Any, context: Any) -> Iterator[tuple[str, str]]:
    """Yield names with their metavar, and the help text, of every argument and option."""
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and parameter.name != "help":
            yield record


def _plain(text: str) -> str:
    return "\n".join(line.strip() for line in text.replace("\b", "").strip().splitlines())
