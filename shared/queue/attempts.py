"""Retries of one film, and the reason why it is given up.

The broker counts an attempt before it begins, so that a film that kills its worker (out of memory, a crash in native
code) is counted as well as one that raises an error.
"""

import errno
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from shared.errors import (
    DiskUnavailable,
    MammoError,
    ObjectOfLaterRelease,
    QueueUnavailable,
    ServiceUnavailable,
    StoreMisconfigured,
    StoreUnavailable,
)
from shared.queue.messages import UnitKind

T = TypeVar("T")
INFRASTRUCTURE_ERRORS = (
    StoreUnavailable,
    StoreMisconfigured,
    ObjectOfLaterRelease,
    QueueUnavailable,
    ServiceUnavailable,
    DiskUnavailable,
)
"""Errors that no film causes; they do not count as attempts."""

_LONGEST_TEXT = 2000
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
_log = logging.getLogger("mammostack.shards")


class WorkerLost(MammoError):
    """A film or a job whose worker died at every attempt."""

    code = "worker-lost"


class AttemptCounter(Protocol):
    """Counter of the attempts at a film; implemented by `broker.Broker`."""

    def has_begun(self, run: str, kind: UnitKind, films: Sequence[str]) -> bool: ...

    def begin_try(self, run: str, kind: UnitKind, film: str) -> int: ...

    def take_back_try(self, run: str, kind: UnitKind, film: str) -> None: ...

    def end_tries(self, run: str, kind: UnitKind, film: str) -> None: ...


@dataclass(frozen=True)
class GivenUp:
    """Result for a film that could not be processed."""

    reason: Exception


def attempt(
    tries: AttemptCounter,
    run: str,
    kind: UnitKind,
    film: str,
    max_tries: int,
    process: Callable[[], T],
    hopeless: tuple[type[Exception], ...] = (),
) -> T | GivenUp:
    """Process a film; repeat it on errors, at most `max_tries` times.

    Args:
        tries: counter of attempts.
        process: processes the film.
        hopeless: errors that a repetition can't fix.

    Returns:
        The result of `process`, or the reason why the film is given up.

    Raises:
        MammoError: one of INFRASTRUCTURE_ERRORS; the attempt is not counted.
    """
    reason: Exception = WorkerLost(
        "the worker died while it processed this film: out of memory, or a crash; see the worker's log"
    )
    while (begun := tries.begin_try(run, kind, film)) <= max_tries:
        try:
            with disk_failures_told():
                result = process()
        except INFRASTRUCTURE_ERRORS:
            tries.take_back_try(run, kind, film)
            raise
        except hopeless as error:
            reason = error
            break
        except Exception as error:  # noqa: BLE001  whatever a film causes, the other films are processed
            reason = error
            _log.warning("film failed", extra={"run": run, "stage": kind, "film": film, "try": begun}, exc_info=error)
        else:
            tries.end_tries(run, kind, film)
            return result
    tries.end_tries(run, kind, film)
    return GivenUp(reason)


@contextmanager
def disk_failures_told() -> Iterator[None]:
    """Raise DiskUnavailable in place of an error that a full, read-only or lost local disk has caused."""
    try:
        yield
    except MammoError:
        raise
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, OSError) and cause.errno in _DISK:
                raise DiskUnavailable(cause) from error
            cause = cause.__cause__ or cause.__context__
        raise


def code_of(error: Exception) -> str:
    """Return the code of an error; `internal` for an unexpected one."""
    return error.code if isinstance(error, MammoError) else "internal"


def text_of(error: Exception) -> str:
    """Return the message of an error as text that can be stored."""
    return storable(str(error) if isinstance(error, MammoError) else f"{type(error).__name__}: {error}")


def storable(text: str) -> str:
    """Escape what is not valid UTF-8, as file names may be, and shorten the text."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} ..."
