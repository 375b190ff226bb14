"""The command line: help for every command, and errors as one line with what to do next."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from shared.store.directory import DirectoryStore
from tests.support.commands import mammo

ROOT = Path(__file__).resolve().parents[4]
COMMANDS = (
    "ingest",
    "run",
    "train",
    "status",
    "resume",
    "models",
    "keys",
    "batch",
    "predict",
    "serve",
    "worker",
    "demo",
    "synthesize",
    "augment",
)


def ended(run: "subprocess.Popen[str]") -> str:
    """What a command has said once it ended. It is interrupted again as by a person who saw nothing happen."""
    for _ in range(20):
        try:
            return run.communicate(timeout=2)[0]
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGINT)
    run.kill()
    pytest.fail("the command went on")


class TestMain:
    @pytest.mark.parametrize("arguments", [("models", "list"), ("keys", "list"), ("status",)])
    def test_commands_on_the_store_alone_need_no_broker(
        self, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
    ) -> None:
        monkeypatch.delenv("MAMMO_REDIS_URL")
        assert mammo(*arguments).lower().startswith(("no model", "there is no", "there are no"))

    @pytest.mark.parametrize("after_s", [0.3, 0.8, 1.5])
    @pytest.mark.parametrize("arguments", [("status",), ("worker", "augment"), ("serve",)], ids=" ".join)
    @pytest.mark.external
    def test_an_interrupt_while_a_command_starts_leaves_no_trace(
        self, tmp_path: Path, arguments: tuple[str, ...], after_s: float
    ) -> None:
        environment = {**os.environ, "MAMMO_STORE": str(tmp_path), "MAMMO_REDIS_URL": "redis://:x@127.0.0.1:9/0"}
        command = [ROOT / "mammo", *arguments]
        with subprocess.Popen(
            command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as run:
            time.sleep(after_s)
            run.send_signal(signal.SIGINT)
            said = ended(run)
        assert "Traceback" not in said

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_explains_itself(self, command: str) -> None:
        output = mammo(command, "--help")
        assert len(output.split()) > 15
        assert command in mammo("--help")

    @pytest.mark.parametrize(
        ("arguments", "advice"),
        [
            (("ingest", "/no/such/folder"), "there is no such folder or archive; check the path"),
            (("run", "--dataset", "nope"), "mammo ingest FOLDER --dataset nope"),
            (("status", "nope"), "`mammo status` lists the runs"),
            (("predict", __file__, "--url", "http://127.0.0.1:9"), "mammo serve"),
            (("worker", "nope"), "augment, segment, train"),
        ],
    )
    @pytest.mark.external
    def test_an_error_is_one_line_that_says_what_to_do(
        self, tmp_path: Path, arguments: tuple[str, ...], advice: str
    ) -> None:
        environment = {**os.environ, "MAMMO_STORE": str(tmp_path), "MAMMO_REDIS_URL": "redis://:x@127.0.0.1:9/0"}
        result = subprocess.run(
            [ROOT / "mammo", *arguments], capture_output=True, text=True, env=environment, check=False
        )
        assert result.returncode == 1
        assert result.stderr.startswith("mammo: ")
        assert len(result.stderr.strip().splitlines()) == 1
        assert advice in result.stderr

    @pytest.mark.external
    def test_settings_that_are_missing_are_named(self, tmp_path: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAMMO_")}
        result = subprocess.run(
            [ROOT / "mammo", "status"], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
        )
        assert result.returncode == 1
        assert "MAMMO_STORE" in result.stderr
        assert ".env.example" in result.stderr
