"""Conditions and servers that are waited for."""

import logging
import time

import pytest

from shared.errors import QueueMisconfigured, QueueUnavailable, StoreUnavailable
from shared.polling import wait_for_server, wait_until

LOG = logging.getLogger("mammostack.test")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses that were asked for; each only moves the clock on."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    monkeypatch.setattr(time, "monotonic", lambda: sum(pauses))
    return pauses


class TestWaitUntil:
    def test_a_condition_that_holds_is_not_waited_for(self, clock: list[float]) -> None:
        assert wait_until(lambda: True, 1)
        assert clock == []

    def test_a_condition_is_polled_until_it_holds(self, clock: list[float]) -> None:
        assert wait_until(lambda: len(clock) == 3, 1, pause_s=0.25)
        assert clock == [0.25] * 3

    def test_it_ends_after_the_given_time(self, clock: list[float]) -> None:
        assert not wait_until(lambda: False, 1, pause_s=0.5)
        assert clock == [0.5] * 3

    def test_the_check_ends_it_at_once(self, clock: list[float]) -> None:
        def died() -> None:
            raise RuntimeError

        with pytest.raises(RuntimeError):
            wait_until(lambda: False, 1, died)
        assert clock == []


class TestWaitForServer:
    def test_it_calls_again_after_growing_pauses_and_logs_each(
        self, clock: list[float], caplog: pytest.LogCaptureFixture
    ) -> None:
        answers = iter([QueueUnavailable("away"), StoreUnavailable("away"), *[QueueUnavailable("away")] * 6])

        def call() -> str:
            if error := next(answers, None):
                raise error
            return "answered"

        with caplog.at_level(logging.WARNING, LOG.name):
            assert wait_for_server(call, "the broker", LOG) == "answered"
        assert clock == pytest.approx([1, 1.5, 2.25, 3.375, 5.0625, 7.59375, 10, 10])
        assert [record.getMessage() for record in caplog.records] == ["waiting for the broker"] * 8

    def test_other_errors_pass(self, clock: list[float]) -> None:
        def call() -> None:
            raise QueueMisconfigured("refused")

        with pytest.raises(QueueMisconfigured):
            wait_for_server(call, "the broker", LOG)
        assert clock == []
