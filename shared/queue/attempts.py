"""Work on one film, tried again when it fails, and given up with its reason after some tries.

The tries of a film are counted by the broker before work on it begins, so that a film that kills its worker (out of
memory, a crash in native code) is counted as well as one that raises an error.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from shared.errors import MammoError, ObjectOfLaterRelease, QueueUnavailable, StoreMisconfigured, StoreUnavailable
from shared.queue.messages import Kind

T = TypeVar("T")
INFRASTRUCTURE_ERRORS = (StoreUnavailable, StoreMisconfigured, ObjectOfLaterRelease, QueueUnavailable)
"""Errors of the surroundings: no film is to blame for them."""

_LONGEST_TEXT = 2000
_log = logging.getLogger("mammostack.shards")


class WorkerLost(MammoError):
    """Work on a film or a job ended with the death of its worker, every time."""

    code = "worker-lost"


class AttemptCounter(Protocol):
    """Counts the tries of a film; see `broker.Broker`."""

    def begin_try(self, run: str, kind: Kind, film: str) -> int: ...

    def take_back_try(self, run: str, kind: Kind, film: str) -> None: ...

    def end_tries(self, run: str, kind: Kind, film: str) -> None: ...


@dataclass(frozen=True)
class GivenUp:
    """A film that could not be worked on, and why."""

    reason: Exception


def attempt(
    tries: AttemptCounter,
    run: str,
    kind: Kind,
    film: str,
    max_tries: int,
    work: Callable[[], T],
    hopeless: tuple[type[Exception], ...] = (),
) -> T | GivenUp:
    """What `work` on a film returns, tried again when it fails, and counted before each try.

    Args:
        hopeless: errors with which no other try would fare better.

    Raises:
        One of OUTSIDE: it is no fault of the film, and does not count as a try.
    """
    reason: Exception = WorkerLost("the worker died while it worked on this film: out of memory, or a crash")
    while (begun := tries.begin_try(run, kind, film)) <= max_tries:
        try:
            done = work()
        except INFRASTRUCTURE_ERRORS:
            tries.take_back_try(run, kind, film)
            raise
        except hopeless as error:
            reason = error
            break
        except Exception as error:  # noqa: BLE001  whatever a film may cause, the others go on
            reason = error
            _log.warning("film failed", extra={"run": run, "stage": kind, "film": film, "try": begun}, exc_info=error)
        else:
            tries.end_tries(run, kind, film)
            return done
    tries.end_tries(run, kind, film)
    return GivenUp(reason)


def code_of(error: Exception) -> str:
    return error.code if isinstance(error, MammoError) else "internal"


def text_of(error: Exception) -> str:
    """What an error says, in a form that can be stored."""
    return storable(str(error) if isinstance(error, MammoError) else f"{type(error).__name__}: {error}")


def storable(text: str) -> str:
    """`text` as UTF-8 can hold it, and no longer than a person reads. File names may be of other bytes."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} ..."
