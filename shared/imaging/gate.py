"""Asks of a segmented film whether it is a mammogram at all."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Gate:
    """`score` is 0 for what is certainly no mammogram and 1 for what certainly is one; `reason` says why."""

    score: float
    reason: str
