"""Messages that are held, and those of later releases, which are handed back after a while."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker.consumer import Consumer

from shared.queue.consumer import PatientConsumer
from shared.queue.messages import SCHEMA, SCHEMA_NUMBER, WAIT_S


class Sent:
    """A message with these headers, which remembers whether it was put back into its queue."""

    def __init__(self, **headers: object) -> None:
        self.headers = {"task": "mammostack.augment", **headers}
        self.put_back = False

    def reject_log_error(self, _log: object, _errors: object, requeue: bool = False) -> None:
        self.put_back = requeue


class Held:
    """A consumer without a connection: what is taken, what is held for how long, and how many more it takes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken: list[Any] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.more = 0
        self.consumer = PatientConsumer.__new__(PatientConsumer)
        self.consumer.connection_errors = ()
        self.consumer.timer = SimpleNamespace(call_after=self._call_after)
        self.connect()
        monkeypatch.setattr(Consumer, "create_task_handler", lambda _self: self.taken.append)

    def connect(self) -> None:
        """Give the consumer a new connection, which counts its messages from 0; timers stay, as in Celery 5.7."""
        self.more = 0
        self.consumer.qos = SimpleNamespace(
            increment_eventually=lambda: self._add(1), decrement_eventually=lambda: self._add(-1)
        )

    def receive(self, message: Sent) -> None:
        self.consumer.create_task_handler()(message)

    def _call_after(self, seconds: float, call: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self.timers.append((seconds, lambda: call(*arguments)))

    def _add(self, number: int) -> None:
        self.more += number


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    return Held(monkeypatch)


class TestPatientConsumer:
    @pytest.mark.parametrize("number", [None, SCHEMA_NUMBER, SCHEMA_NUMBER + 1])
    def test_messages_of_this_release_and_its_neighbours_are_taken_at_once(
        self, held: Held, number: int | None
    ) -> None:
        message = Sent(**({} if number is None else {SCHEMA: number}))
        held.receive(message)
        assert (held.taken, held.timers) == ([message], [])

    def test_one_that_is_to_wait_is_taken_when_its_seconds_are_over_and_takes_no_place_meanwhile(
        self, held: Held
    ) -> None:
        message = Sent(**{WAIT_S: 4.5})
        held.receive(message)
        ((seconds, go_on),) = held.timers
        assert (held.taken, seconds, held.more) == ([], 4.5, 1)
        go_on()
        assert (held.taken, held.more) == ([message], 0)

    @pytest.mark.parametrize("headers", [{WAIT_S: 4.5}, {SCHEMA: SCHEMA_NUMBER + 2}])
    def test_one_that_was_held_when_the_connection_was_lost_is_left_to_its_next_delivery(
        self, held: Held, headers: dict[str, float]
    ) -> None:
        old, again = Sent(**headers), Sent(**headers)
        held.receive(old)
        held.connect()
        held.receive(again)
        (_, go_on_with_old), (_, go_on) = held.timers
        go_on_with_old()
        assert (held.taken, old.put_back, held.more) == ([], False, 1)
        go_on()
        assert (held.taken == [again] or again.put_back, held.more) == (True, 0)

    def test_one_of_a_later_release_goes_back_after_a_while(self, held: Held, caplog: pytest.LogCaptureFixture) -> None:
        message = Sent(**{SCHEMA: SCHEMA_NUMBER + 2, WAIT_S: 1})
        held.receive(message)
        assert "deploy it or later" in caplog.text
        ((seconds, go_on),) = held.timers
        assert seconds == 5
        assert not message.put_back
        go_on()
        assert (message.put_back, held.taken, held.more) == (True, [], 0)

    def test_so_does_one_without_a_task_of_this_release(self, held: Held) -> None:
        message = Sent(task="mammostack.unknown")
        held.consumer.on_unknown_task(None, message, KeyError("mammostack.unknown"))
        ((_, go_on),) = held.timers
        go_on()
        assert message.put_back
