"""Decide when an exam is taken: its films come one after the other, and no standard says which is the last."""

from dataclasses import dataclass
from typing import Literal

TakeDecision = Literal["take", "wait", "skip"]


@dataclass(frozen=True)
class StabilityOptions:
    """Seconds without a new film, most seconds of waiting, and what becomes of incomplete exams."""

    quiet_s: float = 60
    wait_max_s: float = 900
    skip_incomplete: bool = False


def decide(options: StabilityOptions, *, complete: bool, quiet_s: float, waited_s: float) -> TakeDecision:
    """Decide about an exam.

    Args:
        complete: both standard views of both breasts are there.
        quiet_s: seconds since its last film.
        waited_s: seconds since its first film.
    """
    if complete:
        return "take"
    if options.skip_incomplete:
        return "skip" if waited_s >= options.wait_max_s else "wait"
    return "take" if quiet_s >= options.quiet_s or waited_s >= options.wait_max_s else "wait"
