"""What travels over the queue: one kind of message, a unit of work of a run, and the queue that each stage uses.

A message holds names only. What has to be done is read from the store, so a message may be lost or come twice.
"""

from collections.abc import Callable

from shared.datasets.manifest import Record
from shared.queue.plan import Stage, Unit

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


Enqueue = Callable[[Stage, Message], None]
"""Puts one message into the queue of a stage. Raises QueueUnavailable."""


def task_name(stage: Stage) -> str:
    return f"mammostack.{stage}"


def message_of(run: str, unit: Unit) -> Message:
    return Message(run=run, unit=unit.name)
