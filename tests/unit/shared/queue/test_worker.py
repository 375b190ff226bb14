"""The common shell of workers: a unit that is given up is never lost, whatever goes wrong meanwhile."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shared import metrics
from shared.errors import MammoError, RunNotFound, StoreUnavailable
from shared.queue import worker
from shared.queue.attempts import storable, text_of
from shared.queue.broker import Broker
from shared.queue.messages import Message
from shared.queue.unit_task import UnitTask
from shared.settings import StoreSettings, WorkerProcessSettings, WorkerSettings
from shared.store.directory import DirectoryStore
from shared.store.interface import ObjectStore
from tests.support.settings import NO_BROKER

RETRIES = WorkerSettings().retries
FIRST_SENT = 1_700_000_000.0


class Sent:
    """A broker that remembers what is sent again."""

    def __init__(self) -> None:
        self.again: list[int] = []
        self.sent_at: list[float | None] = []

    def send_again(self, kind: str, message: Message, *, tries: int, in_s: float, sent_at: float | None = None) -> None:
        self.again.append(tries)
        self.sent_at.append(sent_at)


class Failing(UnitTask[str]):
    """A kind of unit that fails every time."""

    def __init__(self, give_up: Callable[[ObjectStore, Broker, Message, Exception], str]) -> None:
        super().__init__("augment")
        self._give_up = give_up

    def load(self, _store: ObjectStore, _message: Message) -> str:
        raise ValueError("a film called \udcff.pgm")

    def on_failure(self, store: ObjectStore, broker: Broker, message: Message, error: Exception) -> str:
        return self._give_up(store, broker, message, error)

    def done_key(self, _unit: str) -> str:
        raise NotImplementedError

    is_cancelled = execute = advance = done_key  # type: ignore[assignment]


@pytest.fixture
def perform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., str], int], Sent]:
    """Delivers a message whose unit fails, to a worker that gives units up as it is told."""
    sent = Sent()
    # The log of these failures holds a lone surrogate, which pytest-xdist can't send on in what it captured.
    monkeypatch.setattr(worker._log, "disabled", True)
    process: Any = SimpleNamespace(
        settings=WorkerProcessSettings(store=StoreSettings(url=str(tmp_path)), broker=NO_BROKER),
        store=DirectoryStore(tmp_path),
        broker=sent,
    )

    def deliver(give_up: Callable[[ObjectStore, Broker, Message, Exception], str], tries: int) -> Sent:
        task: Any = SimpleNamespace(request=SimpleNamespace(retries=tries, id="id", mammostack_sent_at=FIRST_SENT))
        worker._perform(process, task, Failing(give_up), Message(run="run", unit="000000"))
        return sent

    return deliver


class TestPerform:
    def test_a_unit_that_failed_for_the_last_time_is_given_up_once(self, perform: Callable[..., Sent]) -> None:
        told: list[str] = []

        def give_up(_store: ObjectStore, _broker: Broker, _message: Message, error: Exception) -> str:
            told.append(text_of(error))
            return "given up"

        assert perform(give_up, RETRIES).again == []
        assert told == ["ValueError: a film called \\udcff.pgm"]

    def test_a_reason_that_can_not_be_stored_is_replaced_by_a_shorter_one(self, perform: Callable[..., Sent]) -> None:
        told: list[str] = []

        def give_up(_store: ObjectStore, _broker: Broker, _message: Message, error: Exception) -> str:
            if not isinstance(error, MammoError):
                raise UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed")
            told.append(text_of(error))
            return "given up"

        assert perform(give_up, RETRIES).again == []
        assert told == ["it failed at every attempt, and the reason can't be stored; see the worker's log"]

    @pytest.mark.parametrize("error", [StoreUnavailable("away"), ValueError("whatever it is")], ids=str)
    def test_a_unit_that_can_not_be_given_up_comes_again(self, perform: Callable[..., Sent], error: Exception) -> None:
        def give_up(*_: Any) -> str:
            raise error

        sent = perform(give_up, RETRIES)
        assert (sent.again, sent.sent_at) == ([RETRIES], [FIRST_SENT])

    def test_what_an_error_says_can_be_stored(self) -> None:
        assert storable("Größe \udcff\ud800") == "Größe \\udcff\\ud800"
        assert storable("x" * 10_000) == "x" * 2000 + " ..."
        assert text_of(ValueError("\udcff")).encode() == b"ValueError: \\udcff"


def test_a_unit_of_an_unknown_run_is_left_to_workers_of_other_stores_before_it_is_dropped_and_counted(
    perform: Callable[..., Sent], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: Any) -> str:
        raise RunNotFound("there is no run 'run'")

    def give_up(*_: Any) -> str:
        raise AssertionError("it is no failure of the unit")

    monkeypatch.setattr(Failing, "load", load)
    counted = metrics.UNITS.labels("augment", "unknown run")._value
    before = counted.get()
    assert perform(give_up, 0).again == [1]
    assert counted.get() == before
    assert perform(give_up, RETRIES).again == [1]
    assert counted.get() == before + 1
