"""Interface of a service's units: the steps that `worker` calls."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from shared.queue.broker import Broker
from shared.queue.messages import Message, UnitKind
from shared.store.interface import ObjectStore

U = TypeVar("U")


class UnitTask(ABC, Generic[U]):
    """Steps of one kind of unit; `worker.register` makes a Celery task of them.

    `load` reads the unit that a message names. Under a lease `execute` processes it, unless `is_done`, and `advance`
    follows in both cases. `on_failure` replaces all of them after the last attempt.
    """

    def __init__(self, kind: UnitKind) -> None:
        self.kind = kind

    @abstractmethod
    def load(self, store: ObjectStore, message: Message) -> U:
        """Read the unit that a message names.

        Raises:
            MammoError: there is no such unit.
        """

    @abstractmethod
    def done_key(self, unit: U) -> str:
        """Return the key of the object that marks the unit as done; it also names the lease."""

    @abstractmethod
    def is_cancelled(self, store: ObjectStore, unit: U) -> bool:
        """Return True if the unit was cancelled; also called at every beat of the lease."""

    def on_cancelled(self, _broker: Broker, _unit: U) -> str:
        """Drop a cancelled unit; return the outcome for the metrics."""
        return "cancelled"

    def is_done(self, store: ObjectStore, unit: U) -> bool:
        """Return True if the output of the unit exists and is intact."""
        return store.exists(self.done_key(unit))

    @abstractmethod
    def execute(self, store: ObjectStore, broker: Broker, unit: U, stopping: Callable[[], bool]) -> None:
        """Process the unit and store its output.

        Raises:
            JobInterrupted: `stopping` returned True.
        """

    @abstractmethod
    def advance(self, store: ObjectStore, broker: Broker, unit: U) -> None:
        """Start the next step after the unit; repeated if its message is delivered again."""

    @abstractmethod
    def on_failure(self, store: ObjectStore, broker: Broker, message: Message, error: Exception) -> str:
        """Store the reason why a unit is given up; return a line for the log."""
