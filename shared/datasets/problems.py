"""What is wrong with a data set, by kind, for a person who can correct it."""

from typing import Literal, NamedTuple, TypeAlias

ProblemKind: TypeAlias = Literal[
    "unknown value",
    "no label",
    "labels that differ",
    "row without image",
    "image without row",
    "film twice",
    "view repeated",
    "image twice",
    "patient in both splits",
    "lesion outside the image",
    "lesion that can't be used",
    "header disagrees",
    "image can't be used",
]

WITHOUT_FILM: frozenset[ProblemKind] = frozenset(
    ("unknown value", "no label", "row without image", "film twice", "image can't be used")
)
"""Kinds for which a film is left out; the others are only reported."""


class SourceProblem(NamedTuple):
    """One thing that is wrong: its kind, the row or file, and what it is."""

    kind: ProblemKind
    where: str
    what: str
