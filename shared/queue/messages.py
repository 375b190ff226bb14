"""What travels over the queue: one form of message, a unit of work of a run or of a batch, and the queue of each kind.

A message holds names only. What has to be done is read from the store, so a message may be lost or come twice.
"""

from collections.abc import Iterable
from typing import Literal, Protocol

from shared.domain.records import Record

Stage = Literal["augment", "segment", "train", "evaluate", "publish", "promote"]
STAGES: tuple[Stage, ...] = ("augment", "segment", "train", "evaluate", "publish", "promote")

Kind = Stage | Literal["predict"]
"""What a unit of work is of: a stage of a run, or a batch of predictions."""

QUEUES: dict[Kind, str] = {
    "augment": "augment",
    "segment": "segment",
    "train": "train",
    "evaluate": "train",
    "publish": "train",
    "promote": "train",
    "predict": "inference",
}


SENT_AT = "mammostack_sent_at"
"""The header of a message that tells when it was sent: seconds since 1970."""


class Message(Record):
    """The arguments of every task. `run` is the id of a batch where a part of one is to be predicted."""

    run: str
    unit: str


class QueueDepth(Record):
    """How many messages wait in each queue, and how many are in the hands of workers, of all runs together."""

    waiting: dict[str, int]
    in_hand: int


class Queue(Protocol):
    """The broker as the flow of a run or a batch sees it. All that it holds may be lost at any moment.

    The tally of a stage holds the units that are still to be done, so that the store need not be listed after every
    one of them. It is a hint: that a stage is complete is always read from the store. Every method raises
    QueueUnavailable when the broker does not answer.
    """

    def enqueue(self, run: str, kind: Kind, units: Iterable[str]) -> int:
        """Begins a new tally of a stage with these units, and puts a message for each into its queue. Returns
        how many are left to be done; while messages are still being put there, nobody is told that none is."""

    def begin_tally(self, run: str, kind: Kind, units: Iterable[str]) -> None:
        """Begins the tally of a stage, unless there is one."""

    def strike(self, run: str, kind: Kind, unit: str) -> int | None:
        """Strikes a unit off the tally and tells how many are left; None where there is no tally."""

    def drop_tally(self, run: str, kind: Kind) -> None: ...

    def forget_tries(self, run: str) -> None:
        """Films of the run that killed their worker get all their tries again."""

    def depth(self) -> QueueDepth: ...


def task_name(kind: Kind) -> str:
    return f"mammostack.{kind}"
