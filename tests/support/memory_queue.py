"""The broker in memory, and what a run does with it: `messages.Queue` without a server, and units done by hand."""

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from shared.domain.films import SetAside, Shard
from shared.errors import QueueUnavailable
from shared.queue.messages import QUEUES, Message, QueueDepth, Stage, UnitKind
from shared.runs import pipeline
from shared.runs.plan import SHARDED, Plan
from shared.runs.sources import source_key, stored_dataset
from shared.store.interface import ObjectStore

Sent = list[tuple[UnitKind, str]]


class MemoryQueue:
    """Takes messages and keeps them, and a tally of each stage.

    `breaks_after` messages it can't be reached, once. `worker` is called with every message while the others are still
    being put there, as by a worker that is faster.
    """

    def __init__(self, breaks_after: int | None = None) -> None:
        self.messages: list[tuple[UnitKind, Message]] = []
        self.breaks_after = breaks_after
        self.worker: Callable[[Any, str], None] | None = None
        self.forgotten: list[str] = []
        self._held: dict[tuple[str, UnitKind], list[str]] = {}
        self._tallies: dict[tuple[str, UnitKind], set[str]] = {}
        self._one_at_a_time = threading.RLock()

    def enqueue(self, run: str, kind: UnitKind, units: Iterable[str]) -> int:
        with self._one_at_a_time:
            self._tallies[run, kind] = {"still being filled"}
        for unit in units:
            if self.breaks_after is not None and len(self.messages) >= self.breaks_after:
                self.breaks_after = None
                raise QueueUnavailable("the broker is away")
            with self._one_at_a_time:
                self._tallies[run, kind].add(unit)
                self.messages.append((kind, Message(run=run, unit=unit)))
            if self.worker:
                self.worker(kind, unit)
        left = self.strike(run, kind, "still being filled")
        return 1 if left is None else left

    def enqueue_some(self, run: str, kind: UnitKind, units: Iterable[str], at_once: int) -> int:
        first = list(units)
        self._held[run, kind] = first[at_once:]
        left = self.enqueue(run, kind, first[:at_once])
        self._tallies[run, kind] |= set(first[at_once:])
        return left + len(first[at_once:])

    def send_next(self, run: str, kind: UnitKind) -> None:
        if held := self._held.get((run, kind)):
            self.messages.append((kind, Message(run=run, unit=held.pop(0))))

    def begin_tally(self, run: str, kind: UnitKind, units: Iterable[str]) -> None:
        with self._one_at_a_time:
            self._tallies.setdefault((run, kind), set(units))

    def strike(self, run: str, kind: UnitKind, unit: str) -> int | None:
        with self._one_at_a_time:
            tally = self._tallies.get((run, kind))
            if tally is None:
                return None
            tally.discard(unit)
            return len(tally)

    def drop_tally(self, run: str, kind: UnitKind) -> None:
        with self._one_at_a_time:
            self._tallies.pop((run, kind), None)

    def forget_tries(self, run: str) -> None:
        self.forgotten.append(run)

    def is_under_way(self, run: str, kind: UnitKind) -> bool:
        return (run, kind) in self._tallies and any(QUEUES[kind] == QUEUES[other] for other, _ in self.messages)

    def depth(self) -> QueueDepth:
        waiting = dict.fromkeys(QUEUES.values(), 0)
        for kind, _ in self.messages:
            waiting[QUEUES[kind]] += 1
        return QueueDepth(waiting=waiting, in_hand=0)

    def taken(self) -> Sent:
        """What was enqueued since the last time."""
        sent = [(kind, message.unit) for kind, message in self.messages]
        self.messages = []
        return sent

    def lose_everything(self) -> None:
        self.messages = []
        self._tallies = {}
        self._held = {}


def everything(plan: Plan, stage: Stage) -> Sent:
    """All units of a stage, in the order of their keys."""
    return [(stage, name) for name in sorted(plan.names(stage))]


def do(store: ObjectStore, plan: Plan, stage: Stage, names: Sequence[str] | None = None) -> None:
    """Stores what units of a stage leave, all of them unless they are named."""
    for name in plan.names(stage) if names is None else names:
        store.put(plan.done_key(stage, name), _output(store, plan, stage, name))


def _output(store: ObjectStore, plan: Plan, stage: Stage, name: str) -> bytes:
    if stage not in SHARDED:
        return b"{}"
    source = source_key(plan, stored_dataset(store, plan), stage, name)
    known = source is not None and store.exists(source)
    sha256 = hashlib.sha256(store.get(source)).hexdigest() if source and known else "the source is not there"
    return (
        Shard(dataset=plan.dataset, recipe="", shard=name, source_sha256=sha256, variants=()).model_dump_json().encode()
    )


def finish(
    store: ObjectStore, queue: MemoryQueue, plan: Plan, stage: Stage, names: Sequence[str] | None = None
) -> None:
    """Finishes units of a stage one after the other, as a worker does."""
    for name in list(plan.names(stage)) if names is None else names:
        do(store, plan, stage, [name])
        pipeline.advance(store, queue, plan, stage, name)


def begun(store: ObjectStore, queue: MemoryQueue, plan: Plan, *finished: Stage) -> Plan:
    """A run that was started and whose first stages are finished; the queue is empty."""
    pipeline.start(store, queue, plan)
    for stage in finished:
        finish(store, queue, plan, stage)
    queue.taken()
    return plan


def set_aside(store: ObjectStore, plan: Plan, stage: Stage, unit: str, *films: str) -> None:
    """Notes films as the worker of their shard does."""
    aside = [SetAside(film=film, stage=stage, code="invalid-image", message="bad", tries=5) for film in films]
    pipeline.set_aside(store, plan, unit, aside)
