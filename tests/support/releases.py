"""Other releases of Mammostack, taken from this repository, so that tests run their processes next to ours."""

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.local.commands import ROOT

FIRST_RELEASE = "c939de60ae"
"""The commit that cut 0.1.0: its readers refuse fields that they do not know."""

NEIGHBOUR = "9d3c499"
"""Stands for the last release until one is tagged whose readers ignore the fields that they do not know."""


def last_release_commit() -> str:
    """Return the newest tag of a release after 0.1.0, else NEIGHBOUR."""
    command = ["git", "-C", str(ROOT), "tag", "--list", "v*", "--sort=-v:refname", "--merged", "HEAD"]
    tags = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return next((tag for tag in tags if tag != "v0.1.0"), NEIGHBOUR)


@dataclass(frozen=True)
class Release:
    """A release: its code, and the environment of its processes, which is that of this checkout's Python."""

    name: str
    root: Path
    variables: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its processes: none of ours but `variables`."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAMMO_", "PROMETHEUS_"))}
        return {**kept, **self.variables, "PYTHONPATH": str(self.root)}

    def mammo(self, *arguments: str, status: int = 0) -> str:
        """Run its command line and return what it printed; the exit status has to be `status`."""
        return self._run("-m", "shared.cli", *arguments, status=status)

    def python(self, code: str) -> str:
        """Run code that imports its packages and return what it printed."""
        return self._run("-c", code)

    @contextmanager
    def worker(self, service: str, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
        """Run one of its workers; SIGTERM ends it."""
        command = [sys.executable, "-m", "shared.queue.launch", service]
        with (
            log.open("ab") as output,
            subprocess.Popen(command, cwd=self.root, env=self.environment, stdout=output, stderr=output) as process,
        ):
            try:
                yield process
            finally:
                process.terminate()

    def _run(self, *arguments: str, status: int = 0) -> str:
        ended = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=self.environment | {"COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if ended.returncode != status:
            raise AssertionError(f"{self.name} {arguments} ended with {ended.returncode}: {ended.stderr}{ended.stdout}")
        return ended.stdout + ended.stderr


def code_of(commit: str, folder: Path) -> Path | None:
    """Write the packages of a commit to a folder; return None where this clone doesn't have the commit."""
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", commit, "shared", "services"], capture_output=True, check=False
    )
    if archive.returncode:
        return None
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def other_release(commit: str, folder: Path, variables: Mapping[str, str]) -> Release:
    """Return the release of a commit; skip the test where this clone doesn't have it, as a shallow one."""
    root = code_of(commit, folder)
    if root is None:
        pytest.skip(f"this clone has no commit {commit}; `git fetch --unshallow` brings it")
    return Release(commit, root, variables)


def this_release(variables: Mapping[str, str]) -> Release:
    """Return the release of this checkout."""
    return Release("HEAD", ROOT, variables)
