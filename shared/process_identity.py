"""The identity of a process of this machine, for whatever outlives the process that wrote it down."""

import os
from dataclasses import dataclass

import psutil

_SAME_START_S = 2.0  # times of start are reckoned from the clock, which may be set


@dataclass(frozen=True)
class ProcessIdentity:
    """A process by its id and, because ids are used again, the time of its start in seconds since 1970."""

    pid: int
    started: float

    @classmethod
    def current(cls) -> "ProcessIdentity":
        """Return the identity of this process."""
        return cls(os.getpid(), psutil.Process().create_time())

    @property
    def process(self) -> psutil.Process | None:
        """The process, None once it has ended; one that ended and was not waited for counts as ended."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) <= _SAME_START_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None
