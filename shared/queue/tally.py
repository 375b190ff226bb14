"""Detection of the last unit of a stage or a batch."""

from collections.abc import Callable, Iterator

from shared.queue.messages import Queue, UnitKind


def was_last(queue: Queue, run: str, kind: UnitKind, unit: str, missing: Callable[[], Iterator[str]]) -> bool:
    """Remove a finished unit from the tally; return True if all units are done.

    Args:
        queue: broker with the tally.
        run: run or batch.
        kind: kind of the unit.
        unit: the finished unit.
        missing: names the missing units by the store; called when the tally is empty or lost.
    """
    remaining = queue.strike(run, kind, unit)
    if remaining is None:
        names = list(missing())
        if names:
            queue.begin_tally(run, kind, names)
            remaining = queue.strike(run, kind, unit)  # another worker's tally may hold it still
    return not remaining and next(missing(), None) is None
