"""Messages of the queue: one unit of a run or of a batch each, and the queue of each kind.

A message holds names only; the unit itself is read from the store. So a message may be lost or delivered twice.
"""

from collections.abc import Iterable
from typing import Literal, Protocol

from shared.domain.records import Record

Stage = Literal["augment", "segment", "train", "evaluate", "publish", "promote"]
STAGES: tuple[Stage, ...] = ("augment", "segment", "train", "evaluate", "publish", "promote")

UnitKind = Stage | Literal["predict", "exam", "ingest", "judge"]
"""Kind of a unit: a stage of a run, a batch's part, an exam of an archive, films to ingest, or films to evaluate."""

QUEUES: dict[UnitKind, str] = {
    "augment": "augment",
    "segment": "segment",
    "train": "train",
    "evaluate": "train",
    "publish": "train",
    "promote": "train",
    "predict": "inference",
    "exam": "gateway",
    "ingest": "augment",
    "judge": "train",
}


SENT_AT = "mammostack_sent_at"
"""Header of a message: time of its first sending, in seconds since the epoch."""

WAIT_S = "mammostack_wait_s"
"""Header of a message: seconds that its taker holds it. A time would be another one by the clock of another machine."""

SCHEMA, SCHEMA_NUMBER = "mammostack_schema", 1
"""Header of a message, and its value: the layout of the arguments. Workers take those of the next number, too."""


class Message(Record):
    """Arguments of every task; `run` may be the id of a batch, an ingest or an evaluation."""

    run: str
    unit: str


class QueueDepth(Record):
    """Number of waiting messages by queue, and of unacknowledged ones, over all runs."""

    waiting: dict[str, int]
    in_hand: int


class Queue(Protocol):
    """Interface of the broker for runs and batches; its data may be lost at any moment.

    The tally of a stage is the set of its missing units, so that the store need not be listed after each unit. It is a
    hint: a stage is complete only if the store says so. Every method raises QueueUnavailable if the broker does not
    answer.
    """

    def enqueue(self, run: str, kind: UnitKind, units: Iterable[str]) -> int:
        """Start a new tally of these units and send a message for each.

        Returns:
            Number of missing units at the end. While messages are being sent, `strike` never returns 0.
        """

    def enqueue_some(self, run: str, kind: UnitKind, units: Iterable[str], at_once: int) -> int:
        """Enqueue as `enqueue` does, but send only the first messages; `send_next` sends the others, one at a time.

        So much work of one sender does not hold up what others send after it. Returns what `enqueue` returns.
        """

    def send_next(self, run: str, kind: UnitKind) -> None:
        """Send the next message that `enqueue_some` held back, if there is one."""

    def begin_tally(self, run: str, kind: UnitKind, units: Iterable[str]) -> None:
        """Create the tally of a stage, unless there is one."""

    def strike(self, run: str, kind: UnitKind, unit: str) -> int | None:
        """Remove a unit from the tally; return the number of missing units, or None without a tally."""

    def drop_tally(self, run: str, kind: UnitKind) -> None: ...

    def forget_tries(self, run: str) -> None:
        """Reset the attempts at all films of a run."""

    def is_under_way(self, run: str, kind: UnitKind) -> bool:
        """Return whether units of a kind may still be done without a `resume`.

        False if the broker has lost the tally, or if no message waits in the queue of the kind and no worker has any.
        """

    def depth(self) -> QueueDepth: ...


def task_name(kind: UnitKind) -> str:
    """Return the name of the Celery task of a kind."""
    return f"mammostack.{kind}"
