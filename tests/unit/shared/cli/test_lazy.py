"""The list of commands imports none of them, and says of each what its own help says."""

import subprocess
import sys
from typing import cast

import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from shared.cli.main import MammoCommands, app
from shared.local.commands import ROOT

HEAVY = ("boto3", "botocore", "celery", "cv2", "matplotlib", "numpy", "pydantic", "redis", "requests", "torch")


def imported(module: str) -> str:
    """What of `HEAVY` is in memory once this module is imported and the list of commands is printed."""
    program = (
        f"import sys, {module}\n"
        "from typer.testing import CliRunner\n"
        "from shared.cli.main import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        f"print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return run.stdout.strip()


class TestLazyGroup:
    @pytest.mark.external
    def test_the_list_of_commands_imports_nothing_that_takes_long(self) -> None:
        assert imported("shared.cli") == ""

    @pytest.mark.parametrize("module", ["batches", "keys", "models", "serving"])
    @pytest.mark.external
    def test_commands_that_enqueue_nothing_do_without_the_queue(self, module: str) -> None:
        assert {"boto3", "celery", "matplotlib", "redis", "torch"}.isdisjoint(imported(f"shared.cli.{module}").split())

    @pytest.mark.parametrize("name", MammoCommands.entries)
    def test_the_summary_in_the_list_is_the_first_paragraph_of_the_command_s_help(self, name: str) -> None:
        command = cast("TyperGroup", get_command(app)).commands[name]
        assert MammoCommands.entries[name].summary == " ".join((command.help or "").partition("\n\n")[0].split())

    def test_a_misspelt_command_is_refused_with_the_one_that_is_like_it(self) -> None:
        result = CliRunner().invoke(app, ["modles", "list"])
        assert result.exit_code == 2
        assert "Did you mean 'models'?" in result.output

    def test_a_command_of_a_group_runs(self) -> None:
        result = CliRunner().invoke(app, ["models", "schema"])
        assert '"title": "ModelCard"' in result.output
