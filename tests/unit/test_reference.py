"""The reference pages: what exists is named on its page, and what is generated is what the code says now."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from shared.local.commands import ROOT
from tests.reference.__main__ import REFERENCE, generated
from tests.reference.cli import commands
from tests.reference.http_api import openapi
from tests.reference.metrics import MEANINGS
from tests.reference.store_layout import builders
from tests.support.series import exported
from tests.support.settings import VARIABLES

MADE = (
    "docs/openapi.json",
    "docs/reference/cli.md",
    "docs/reference/settings.md",
    "docs/reference/http-api.md",
    "docs/reference/store-layout.md",
    "docs/reference/metrics.md",
    "docs/reference/errors.md",
    "docs/reference/model-card.md",
    ".env.example",
)
TERMS = {
    "side by side",
    "candidate",
    "golden inputs",
    "operating point",
    "place at the network",
    "unit",
    "shard",
    "leaky",
    "profile",
    "run",
    "job",
}
"""Words of commands and pages that a newcomer can't guess."""

made = cache(generated)


def page(name: str) -> str:
    return (REFERENCE / name).read_text()


def unnamed(names: Iterable[str], text: str) -> list[str]:
    """Return the names that do not stand in the text as whole words of code."""
    return [name for name in names if not re.search(rf"(?<![\w/-]){re.escape(name)}(?![\w-])", text)]


def sources() -> list[Path]:
    return sorted([*(ROOT / "shared").rglob("*.py"), *(ROOT / "services").rglob("*.py")])


class TestReference:
    @pytest.mark.parametrize("file", MADE)
    def test_a_generated_file_is_what_the_code_says(self, file: str) -> None:
        assert (ROOT / file).read_text() == made()[ROOT / file], f"{file} is out of date; run `make reference`"

    def test_every_generated_file_is_looked_at(self) -> None:
        assert {ROOT / file for file in MADE} == made().keys()

    def test_every_setting_is_named(self) -> None:
        assert unnamed(VARIABLES, page("settings.md")) == []

    def test_every_command_is_named(self) -> None:
        assert unnamed((" ".join(["mammo", *words]) for words, *_ in commands()), page("cli.md")) == []

    def test_every_option_and_argument_is_named_below_its_command(self) -> None:
        sections = dict(
            re.findall(r"^## `mammo ([\w -]+)`\n(.*?)(?=^## |\Z)", page("cli.md"), re.MULTILINE | re.DOTALL)
        )
        for words, command, _ in commands():
            options = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
            assert unnamed((option for option in options if option != "--help"), sections[" ".join(words)]) == []

    def test_every_error_code_is_named(self) -> None:
        text = "\n".join(file.read_text() for file in sources())
        codes = set(re.findall(r'^    code(?:: ClassVar\[str\])? = "([\w-]+)"', text, re.MULTILINE))
        assert {"invalid-input", "overloaded"} <= codes
        assert unnamed(codes, page("errors.md")) == []

    def test_every_metric_is_named_and_no_other(self) -> None:
        assert unnamed(exported(), page("metrics.md")) == []
        assert exported() == MEANINGS.keys()

    def test_every_route_is_named_with_its_errors(self) -> None:
        assert unnamed((f"`{path}`" for path in openapi()["paths"]), page("http-api.md")) == []

    def test_every_path_of_the_store_is_named(self) -> None:
        assert unnamed((f"`{name}`" for name, _ in builders()), page("store-layout.md")) == []

    def test_a_term_of_the_glossary_stands_once_and_has_one_sentence(self) -> None:
        entries = re.findall(
            r"^- \*\*([^*]+)\*\*(?: \([^)]+\))?(.*?)(?=\n\n|\n- |\Z)", page("glossary.md"), re.MULTILINE | re.DOTALL
        )
        terms = [term.lower() for term, _ in entries]
        assert len(terms) == len(set(terms))
        assert set(terms) >= TERMS
        for term, text in entries:
            assert re.fullmatch(r": \S.*\.", text.strip(), re.DOTALL), term
            assert not re.search(r"\.\s+[A-Z]", text), term
