"""Stop a worker that has been idle for some time, so that an autoscaler never stops a busy one.

Only a worker without child processes can be monitored: the training worker.
"""

import threading
import time
from collections.abc import Callable

from celery import signals


class IdleMonitor:
    """Monitor of the units in progress in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_progress = 0
        self._since = time.monotonic()
        signals.task_prerun.connect(self._begin)
        signals.task_postrun.connect(self._end)

    @property
    def idle_s(self) -> float:
        """Seconds since the last unit ended, or since the start; 0 while one is in progress."""
        with self._lock:
            return 0.0 if self._in_progress else time.monotonic() - self._since

    def end_after(self, limit_s: float, end: Callable[[], None]) -> None:
        """Call `end` after `limit_s` idle seconds.

        A unit that arrives at that moment is returned to the queue, as at every end of a worker.
        """

        def watch() -> None:
            while self.idle_s < limit_s:
                time.sleep(min(5.0, limit_s / 4))
            end()

        threading.Thread(target=watch, name="idle", daemon=True).start()

    def _begin(self, **_: object) -> None:
        with self._lock:
            self._in_progress += 1

    def _end(self, **_: object) -> None:
        with self._lock:
            self._in_progress -= 1
            self._since = time.monotonic()
