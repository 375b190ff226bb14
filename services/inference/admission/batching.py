"""Combine ready films of several requests into one network call, without waiting.

A call keeps its own thread: getting a place is the right to run the network there, together with the films that are
ready, and no other thread has to be woken. Two films at a time take less of a CPU than one after the other, because the
weights are read once; a GPU has one place and gains up to some dozens of films.

Places may be pinned to a core each, which prepares films as well, so that no film is prepared during a network call:
the two would evict each other's caches.

While all places are taken, each thread stays on its own core: when two threads woke on the same core, the system left
the other core idle for a good part of the time.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import numpy as np

from shared.domain.arrays import Float32Array


@dataclass(frozen=True)
class NetworkOutput:
    """Output of the network for N films.

    Attributes:
        logits: float32, N x 3.
        features: last feature map, float32, N x C x h x w.
        waited_s: waiting time before the network started, seconds.
    """

    logits: Float32Array
    features: Float32Array
    waited_s: float = 0.0


@dataclass(eq=False, kw_only=True)
class _Turn:
    """`called` is set when its thread has a place to work at, and the core of it, if there is one to keep to."""

    called: threading.Event = field(default_factory=threading.Event)
    place: int = 0
    core: int | None = None


@dataclass(eq=False)
class _Call(_Turn):
    """A turn at which to answer `batch`, of which it is the first; or it is called when others have answered it."""

    films: Float32Array
    came: float = field(default_factory=time.monotonic)
    batch: tuple["_Call", ...] = ()
    answer: NetworkOutput | None = None
    failure: Exception | None = None


class MicroBatcher:
    """`forward`, run at `places` at a time for at most `most` calls each. `cores` are those of the places, or none."""

    def __init__(
        self, forward: Callable[[Float32Array], NetworkOutput], places: int, most: int, cores: Sequence[int] = ()
    ) -> None:
        self._forward = forward
        self._free = list(range(places))
        self._most = most
        self._cores = cores
        self._lock = threading.Lock()
        self._unprepared: deque[_Turn] = deque()
        self._preparing = 0
        self._ready: deque[_Call] = deque()

    @property
    def depth(self) -> int:
        """Return the number of calls that wait for a place."""
        return len(self._unprepared) + len(self._ready)

    def run(self, films: Float32Array) -> NetworkOutput:
        """Run `forward` on films (N x ...), combined with those of other threads.

        Errors of `forward` are passed on.
        """
        mine = _Call(films)
        with self._lock:
            self._ready.append(mine)
            self._fill_a_place()
        return self._answer_to(mine)

    def run_prepared(self, prepare: Callable[[], Float32Array]) -> NetworkOutput:
        """Run `forward` on the films that `prepare` makes at a place.

        Errors of both are passed on.
        """
        turn = _Turn()
        with self._lock:
            self._unprepared.append(turn)
            self._fill_a_place()
        turn.called.wait()
        prepared = []
        try:
            with _kept_to(turn.core):
                prepared.append(_Call(prepare()))
        finally:
            with self._lock:
                self._preparing -= 1
                self._ready.extend(prepared)
                self._give(turn.place)
        return self._answer_to(prepared[0])

    def _answer_to(self, mine: _Call) -> NetworkOutput:
        mine.called.wait()
        if mine.batch:
            self._answer_all(mine)
        if mine.failure:
            raise mine.failure
        assert mine.answer is not None  # noqa: S101  one of the two is there when a call is called
        return mine.answer

    def _fill_a_place(self) -> None:
        """Assign a free place, if there is one. The lock is held."""
        if self._free:
            self._give(self._free.pop())

    def _give(self, place: int) -> None:
        """Assign a place to the next waiting call, if there is one. The lock is held."""
        turn: _Turn
        if self._unprepared and self._should_prepare():
            turn = self._unprepared.popleft()
            self._preparing += 1
        elif self._ready:
            batch = tuple(self._ready.popleft() for _ in range(min(self._most, len(self._ready))))
            turn = batch[0]
            batch[0].batch = batch
        else:
            self._free.append(place)
            return
        turn.place, turn.core = place, self._cores[place] if self._cores and not self._free else None
        turn.called.set()

    def _should_prepare(self) -> bool:
        """Return True if another film should be prepared now.

        That is so if nothing is ready, or if less is ready than fits together, one film at a time: preparation uses the
        interpreter heavily, and two threads would block each other.
        """
        return not self._ready or (len(self._ready) < self._most and not self._preparing)

    def _answer_all(self, first: _Call) -> None:
        batch, began = first.batch, time.monotonic()
        first.batch = ()  # which holds `first`: films and features would wait for the garbage collector
        answer, failure = None, None
        try:
            with _kept_to(first.core):
                answer = self._forward(np.concatenate([each.films for each in batch]) if batch[1:] else first.films)
        except Exception as error:  # noqa: BLE001  each of them is told; none is left waiting
            failure = error
        with self._lock:
            self._give(first.place)  # before all else: the network must not wait for answers to be sent
        end = 0
        for each in batch:
            start, end = end, end + len(each.films)
            each.failure = failure
            if answer is not None:
                each.answer = NetworkOutput(answer.logits[start:end], answer.features[start:end], began - each.came)
            each.called.set()


def cores_for(places: int) -> tuple[int, ...]:
    """Return a core for each place, or none if the process may use another number."""
    may_use = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return tuple(may_use) if len(may_use) == places else ()


@contextmanager
def _kept_to(core: int | None) -> Iterator[None]:
    """Pin the thread to a core for the block, if a core is given."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    with suppress(OSError):  # the core has been taken away from the container meanwhile
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setaffinity(0, before)
