"""A training worker ends when it has been idle for long enough, and never while a unit is at work."""

import threading
import time

from celery import signals

from shared.queue.idle import IdleMonitor


class TestIdleMonitor:
    def test_it_ends_after_the_limit(self) -> None:
        ended = threading.Event()
        IdleMonitor().end_after(0.05, ended.set)
        assert ended.wait(5)

    def test_a_unit_at_work_keeps_it_and_then_it_waits_anew(self) -> None:
        watch, ended = IdleMonitor(), threading.Event()
        signals.task_prerun.send(sender=None)
        watch.end_after(0.05, ended.set)
        assert not ended.wait(0.3)
        assert watch.idle_s == 0
        signals.task_postrun.send(sender=None)
        at = time.monotonic()
        assert ended.wait(5)
        assert time.monotonic() - at >= 0.04
