"""Ends a worker that has had nothing to do for a while: for an autoscaler that starts workers for what waits, and must
never end one that is at work. Only a worker without child processes can be watched, which is the training worker."""

import threading
import time
from collections.abc import Callable

from celery import signals


class IdleMonitor:
    """Knows since when no unit is at work in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at_work = 0
        self._since = time.monotonic()
        signals.task_prerun.connect(self._begin)
        signals.task_postrun.connect(self._end)

    @property
    def idle_s(self) -> float:
        """Seconds since the last unit ended, or since the start; 0 while one is at work."""
        with self._lock:
            return 0.0 if self._at_work else time.monotonic() - self._since

    def end_after(self, limit_s: float, end: Callable[[], None]) -> None:
        """Calls `end` once nothing has been at work for so long. A unit that comes in that moment is handed back, as
        at every end of a worker."""

        def watch() -> None:
            while self.idle_s < limit_s:
                time.sleep(min(5.0, limit_s / 4))
            end()

        threading.Thread(target=watch, name="idle", daemon=True).start()

    def _begin(self, **_: object) -> None:
        with self._lock:
            self._at_work += 1

    def _end(self, **_: object) -> None:
        with self._lock:
            self._at_work -= 1
            self._since = time.monotonic()
