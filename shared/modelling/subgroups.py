"""Metrics of groups of films: by density, view, acquisition and kind of lesion.

Groups are small, so that their intervals are wide: they indicate where to look, not what is true.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import numpy as np
from pydantic import Field

from shared.domain.arrays import BoolArray
from shared.domain.films import Film
from shared.domain.records import Record
from shared.modelling.bootstrap import Interval, share
from shared.modelling.metrics import abnormal_auc
from shared.modelling.predictions import FoldPredictions

DENSITIES = {"F": "fatty", "G": "fatty-glandular", "D": "dense-glandular"}
LESIONS = {
    "CALC": "calcification",
    "CIRC": "well-defined mass",
    "SPIC": "spiculated mass",
    "MISC": "ill-defined mass",
    "ARCH": "architectural distortion",
    "ASYM": "asymmetry",
}
"""Display names of the lesion classes of MIAS."""


Grouping: TypeAlias = Literal["density", "view", "acquisition", "lesion"]


class GroupMetrics(Record):
    """Metrics of the films of one group; films with a kind of lesion are ranked against all normal films."""

    of: Grouping
    name: str
    films: int
    abnormal: int = Field(description="films of the group that are benign or malignant")
    accuracy: Interval
    recall: Interval = Field(description="part of the abnormal films that are called benign or malignant")
    abnormal_auc: Interval


def by_group(predictions: FoldPredictions, films: Mapping[str, Film]) -> tuple[GroupMetrics, ...]:
    """Return metrics by density and kind of lesion, and by view and acquisition.

    View and acquisition are included if there are several. `films` are the known films by their id.
    """
    if not (of_known := np.array([film in films for film in predictions.films])).any():
        return ()
    predictions = predictions.at(np.flatnonzero(of_known))
    known = [films[film] for film in predictions.films]
    densities = np.array([film.density for film in known])
    kinds = [{lesion.kind for lesion in film.lesions} for film in known]
    normal = ~predictions.abnormal
    groups = []
    for density, name in DENSITIES.items():
        inside = densities == density
        groups.append(_group(predictions, "density", name, inside, inside))
    groupings: tuple[tuple[Grouping, list[str | None]], ...] = (
        ("view", [film.view for film in known]),
        ("acquisition", [film.acquisition for film in known]),
    )
    for of, values in groupings:
        distinct = sorted({value for value in values if value})
        for value in distinct if len(distinct) > 1 else ():
            inside = np.array([own == value for own in values])
            groups.append(_group(predictions, of, value, inside, inside))
    for kind in sorted(set().union(*kinds)):
        inside = np.array([kind in of_film for of_film in kinds]) & ~normal
        groups.append(_group(predictions, "lesion", LESIONS.get(kind, kind), inside, inside | normal))
    return tuple(group for group in groups if group.films)


def _group(predictions: FoldPredictions, of: Grouping, name: str, inside: BoolArray, ranked: BoolArray) -> GroupMetrics:
    called = predictions.rows.argmax(axis=1)
    films = np.array(predictions.films)
    return GroupMetrics(
        of=of,
        name=name,
        films=len(set(films[inside])),
        abnormal=len(set(films[inside & predictions.abnormal])),
        accuracy=share(called == predictions.truth, inside, predictions.patients),
        recall=share(called > 0, inside & predictions.abnormal, predictions.patients),
        abnormal_auc=abnormal_auc(predictions.at(np.flatnonzero(ranked))) if inside.any() else _UNDEFINED,
    )


_UNDEFINED = Interval(value=None, low=None, high=None)
