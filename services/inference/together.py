"""Answers films of several requests together, without waiting for any: a call that gets a place at the network takes
along those that came meanwhile.

A call keeps its own thread: to be given a place is the right to run the network, and not another thread that would have
to be woken. Two films at a time take less of a CPU than one after the other, for the weights are read once; a GPU has
one place and gains up to some dozens.

Places may have a core each. While all of them are taken, a thread keeps to the core of its place: where two of them
woke on the same one, the system was seen to leave the other idle for a good part of the work.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """What the network says of N films: `logits` (float32 N x 3) and its last `features` (float32 N x C x h x w). They
    waited for `waited_s` seconds before it began."""

    logits: Floats
    features: Floats
    waited_s: float = 0.0


@dataclass(eq=False)
class _Call:
    """`called` is set when it has its answer, or a place at which to answer `batch`, of which it is the first."""

    films: Floats
    came: float = field(default_factory=time.monotonic)
    called: threading.Event = field(default_factory=threading.Event)
    batch: tuple["_Call", ...] = ()
    place: int = 0
    core: int | None = None
    answer: Answer | None = None
    failure: Exception | None = None


class Together:
    """`forward`, run at `places` at a time for at most `most` calls each. `cores` are those of the places, or none."""

    def __init__(self, forward: Callable[[Floats], Answer], places: int, most: int, cores: Sequence[int] = ()) -> None:
        self._forward = forward
        self._places = places
        self._free = list(range(places))
        self._most = most
        self._cores = cores
        self._lock = threading.Lock()
        self._waiting: deque[_Call] = deque()

    @property
    def depth(self) -> int:
        """How many calls wait for a place."""
        return len(self._waiting)

    def run(self, films: Floats) -> Answer:
        """What `forward` says of films (N x ...), from as many threads as there are calls. Raises what it raises."""
        mine = _Call(films)
        with self._lock:
            self._waiting.append(mine)
            if self._free:
                self._give(self._free.pop())
        mine.called.wait()
        if mine.batch:
            self._answer_all(mine)
        if mine.failure:
            raise mine.failure
        assert mine.answer is not None  # noqa: S101  one of the two is there when a call is called
        return mine.answer

    def _give(self, place: int) -> None:
        """Gives a place to the first who waits and, with it, its share of those behind: what all places would take of
        them, so that no place is left empty by what another one takes along. The lock is held."""
        if not self._waiting:
            self._free.append(place)
            return
        share = min(self._most, -(-len(self._waiting) // self._places))
        batch = tuple(self._waiting.popleft() for _ in range(share))
        first = batch[0]
        first.batch, first.place = batch, place
        first.core = self._cores[place] if self._cores and not self._free else None
        first.called.set()

    def _answer_all(self, first: _Call) -> None:
        batch, began = first.batch, time.monotonic()
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
                each.answer = Answer(answer.logits[start:end], answer.features[start:end], began - each.came)
            each.called.set()


def cores_for(places: int) -> tuple[int, ...]:
    """A core for each place, or none where this process may not use exactly as many: it shares them then."""
    may_use = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return tuple(may_use) if len(may_use) == places else ()


@contextmanager
def _kept_to(core: int | None) -> Iterator[None]:
    """Keeps the thread to a core for the block, if there is one to keep to."""
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
