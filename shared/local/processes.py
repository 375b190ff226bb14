"""Processes that never outlive the one that started them.

Every process is noted in a file with its id and its time of birth. They are ended when the block is left; should the
starter be killed, a guard, which is told of each, notices that its pipe closes and ends them, also where the folder was
moved or removed; should the guard be killed as well, the next start does. Ids are used again by the system, so only a
process with the noted time of birth is ever ended, and a copied folder's notes are not heeded: its processes belong to
the original.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from shared.errors import MammoError
from shared.files import write_whole
from shared.process_identity import ProcessIdentity

_GRACE_S = 8.0
_NOTES = "processes.json"


class ProcessDied(MammoError):
    """A service ended by itself."""

    code = "process-died"


class Processes:
    """Processes started in `folder`, with logs in `folder/logs/<name>.log`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._logs = folder / "logs"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        end_noted(self.folder)
        self._guard = subprocess.Popen(
            [sys.executable, "-m", "shared.local.processes", str(self.folder)],
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self._alive() | _noted(self.folder))
        _forget(self.folder)
        for process in self._running.values():
            process.wait()
        if self._guard and self._guard.stdin:
            self._guard.stdin.close()
            self._guard.wait()

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str], stdin: bytes = b"") -> int:
        """Start `command` in its own session, send it `stdin`, and return its process id."""
        with (self._logs / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                env=env,
                cwd=self.folder,  # where no .env of the user's lies
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running[name] = process
        notes = _notes_of(self._alive())
        if self._guard and self._guard.stdin:
            with suppress(BrokenPipeError):  # the guard was killed; the file is left
                self._guard.stdin.write(json.dumps(notes).encode() + b"\n")
                self._guard.stdin.flush()
        _note(self.folder, notes)
        if process.stdin:
            process.stdin.write(stdin)
            process.stdin.close()
        return process.pid

    def check(self) -> None:
        """Check that all processes are running.

        Raises:
            ProcessDied: one has ended; the message has the last lines of its log.
        """
        for name, process in self._running.items():
            if process.poll() is not None:
                log = self._logs / f"{name}.log"
                try:
                    last = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
                except OSError as error:
                    last = f"(it can't be read: {error.strerror})"
                raise ProcessDied(f"{name} ended with status {process.returncode}; see its log {log}:\n{last}")

    def _alive(self) -> dict[str, psutil.Process]:
        return {name: psutil.Process(each.pid) for name, each in self._running.items() if each.poll() is None}


def end_noted(folder: Path) -> list[str]:
    """Stop all recorded processes of `folder` that still run; return their names."""
    processes = _noted(folder)
    _end(processes)
    _forget(folder)
    return list(processes)


def _forget(folder: Path) -> None:
    with suppress(OSError):  # whatever has become of the folder
        (folder / _NOTES).unlink(missing_ok=True)


def _end(processes: Mapping[str, psutil.Process]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for process in processes.values():
            _signal(process, sign)
        psutil.wait_procs(list(processes.values()), timeout=_GRACE_S)
        if not any(_lives(process) for process in processes.values()):
            break


def _signal(process: psutil.Process, sign: signal.Signals) -> None:
    if not _lives(process):
        return
    try:
        # a killed master must not leave its children: each process was started as the leader of its own group
        if sign == signal.SIGKILL:
            os.killpg(process.pid, sign)
        else:
            process.send_signal(sign)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _notes_of(processes: Mapping[str, psutil.Process]) -> list[dict[str, Any]]:
    notes = []
    for name, process in processes.items():
        with suppress(psutil.NoSuchProcess):
            notes.append({"name": name, "pid": process.pid, "born": process.create_time()})
    return notes


def _note(folder: Path, notes: list[dict[str, Any]]) -> None:
    document = {"folder": _identity(folder), "processes": notes}
    write_whole(folder / _NOTES, json.dumps(document).encode())


def _identity(folder: Path) -> list[int]:
    """Return what a folder keeps when it is moved, and a copy of it does not have."""
    found = folder.stat()
    return [found.st_dev, found.st_ino]


def _noted(folder: Path) -> dict[str, psutil.Process]:
    try:
        document = json.loads((folder / _NOTES).read_text())
        return _processes(document["processes"]) if document["folder"] == _identity(folder) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _processes(notes: list[dict[str, Any]]) -> dict[str, psutil.Process]:
    found = {note["name"]: ProcessIdentity(note["pid"], note["born"]).process for note in notes}
    return {name: process for name, process in found.items() if process}


def _guard(folder: Path) -> None:
    """Wait until the parent has ended, then stop the processes that it left.

    The parent holds the other end of standard input.
    """
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.SIG_IGN)
    told: list[dict[str, Any]] = []
    for line in sys.stdin.buffer:
        with suppress(ValueError):  # cut where the parent was killed
            told = json.loads(line)
    time.sleep(0.1)
    _end(_processes(told))
    end_noted(folder)


if __name__ == "__main__":
    _guard(Path(sys.argv[1]))
