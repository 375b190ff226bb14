"""The last unit: which one of a stage, or of a batch, is done when all the others are."""

from collections.abc import Callable, Iterator

from shared.queue.messages import Kind, Queue


def was_last(queue: Queue, run: str, kind: Kind, unit: str, missing: Callable[[], Iterator[str]]) -> bool:
    """Strikes a unit that is done off the tally; whether all the others are done too.

    Args:
        missing: names the units that are not done. It reads the store, and is asked when the tally says that nothing
            is left, and when the broker has lost the tally.
    """
    left = queue.strike(run, kind, unit)
    if left is None:
        names = list(missing())
        if names:
            queue.begin_tally(run, kind, names)
            left = queue.strike(run, kind, unit)  # another worker's tally may hold it still
    return not left and next(missing(), None) is None
