"""A kind of unit as its service does it: the steps that the worker's shell calls."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from shared.queue.broker import Broker
from shared.queue.messages import Kind, Message
from shared.store.interface import ObjectStore

U = TypeVar("U")


class UnitTask(ABC, Generic[U]):
    """Do the units of one kind: the steps that `worker.register` makes a task of a worker.

    For every message `load` reads what it names. Under a lease then, `is_done` ends it early, or `execute` does it, and
    `advance` follows either. `on_failure` takes the place of all of them once the unit was tried for the last time.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    @abstractmethod
    def load(self, store: ObjectStore, message: Message) -> U:
        """Read the unit that a message names; raises MammoError where there is none."""

    @abstractmethod
    def done_key(self, unit: U) -> str:
        """Return the key of the object that is there once the unit is done; it names the lease as well."""

    @abstractmethod
    def is_cancelled(self, store: ObjectStore, unit: U) -> bool:
        """Tell whether the unit is no longer wanted; also called with every beat of the lease."""

    def on_cancelled(self, _broker: Broker, _unit: U) -> str:
        """Drop a unit that is no longer wanted; returns the outcome, a word for the metrics."""
        return "cancelled"

    def is_done(self, store: ObjectStore, unit: U) -> bool:
        """Tell whether the output of the unit is there, and whole."""
        return store.exists(self.done_key(unit))

    @abstractmethod
    def execute(self, store: ObjectStore, broker: Broker, unit: U, stopping: Callable[[], bool]) -> None:
        """Do the unit and store its output; raises JobInterrupted soon after `stopping` returns true."""

    @abstractmethod
    def advance(self, store: ObjectStore, broker: Broker, unit: U) -> None:
        """Begin what follows once the unit is done; called again when its message comes again."""

    @abstractmethod
    def on_failure(self, store: ObjectStore, broker: Broker, message: Message, error: Exception) -> str:
        """Store why a unit is given up; returns a line for the log."""
