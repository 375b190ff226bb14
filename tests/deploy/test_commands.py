"""The commands that the pages and the runbooks tell somebody to type are commands, with all that they need."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from shared.cli.main import app
from shared.local.commands import ROOT

PAGES = sorted(
    page
    for page in [*(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy" / "runbooks").glob("*.md")]
    if page.parent.name != "reference"  # names commands in general
)
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANY_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[str]:
    """What follows `mammo`, or compose's `cli`, which is the same."""
    text = page.read_text()
    for block in BLOCK.findall(text):
        yield from re.findall(r"(?:\./mammo| cli) ([^\n#|]+)", block.replace("\\\n", " "))
    yield from (" ".join(span.split()) for span in re.findall(r"`mammo ([^`]+)`", ANY_BLOCK.sub("", text)))


class TestCommands:
    @pytest.mark.parametrize(
        ("page", "line"), [pytest.param(p, line, id=f"{p.stem}: {line}") for p in PAGES for line in commands(p)]
    )
    def test_it_can_be_typed_as_it_stands(self, page: Path, line: str) -> None:
        command, arguments = get_command(app), shlex.split(line)
        while hasattr(command, "commands"):
            command = command.commands[arguments.pop(0)]
        command.make_context(line, arguments)

    def test_there_are_some(self) -> None:
        assert len({line for page in PAGES for line in commands(page)}) > 15
