"""What travels over the queue: one kind of message, a unit of work of a run, and the queue that each stage uses.

A message holds names only. What has to be done is read from the store, so a message may be lost or come twice.
"""

from collections.abc import Iterable
from typing import Protocol

from shared.datasets.manifest import Record
from shared.queue.plan import Stage

QUEUES: dict[Stage, str] = {
    "augment": "augment",
    "segment": "segment",
    "train": "train",
    "evaluate": "train",
    "publish": "train",
    "promote": "train",
}


class Message(Record):
    """The arguments of every task."""

    run: str
    unit: str


class Depth(Record):
    """How many messages wait in each queue, and how many are in the hands of workers, of all runs together."""

    waiting: dict[str, int]
    in_hand: int


class Queue(Protocol):
    """The broker as the flow of a run sees it. All that it holds may be lost at any moment.

    The tally of a stage holds the units that are still to be done, so that the store need not be listed after every
    one of them. It is a hint: that a stage is complete is always read from the store. Every method raises
    QueueUnavailable when the broker does not answer.
    """

    def enqueue(self, run: str, stage: Stage, units: Iterable[str]) -> int:
        """Begins a new tally of a stage with these units, and puts a message for each into the stage's queue. Returns
        how many are left to be done; while messages are still being put there, nobody is told that none is."""

    def begin_tally(self, run: str, stage: Stage, units: Iterable[str]) -> None:
        """Begins the tally of a stage, unless there is one."""

    def strike(self, run: str, stage: Stage, unit: str) -> int | None:
        """Strikes a unit off the tally and tells how many are left; None where there is no tally."""

    def drop_tally(self, run: str, stage: Stage) -> None: ...

    def forget_tries(self, run: str) -> None:
        """Films of the run that killed their worker get all their tries again."""

    def depth(self) -> Depth: ...


def task_name(stage: Stage) -> str:
    return f"mammostack.{stage}"
