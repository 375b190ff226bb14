"""Figures by density and by kind of lesion: whose films count, and against which they are ranked."""

import pytest

from shared.domain.films import Film
from shared.domain.lesions import Lesion
from shared.domain.records import Label
from shared.modelling.predictions import FoldPredictions
from shared.modelling.subgroups import GroupMetrics, by_group
from tests.support.builders import small_manifest

NORMAL, BENIGN, MALIGNANT = Label
SURE = {NORMAL: (0.8, 0.1, 0.1), BENIGN: (0.1, 0.8, 0.1), MALIGNANT: (0.1, 0.1, 0.8)}
FILMS = [  # density, label, kind of lesion, answer
    ("F", NORMAL, None, NORMAL),
    ("F", MALIGNANT, "SPIC", MALIGNANT),
    ("D", NORMAL, None, NORMAL),
    ("D", NORMAL, None, BENIGN),
    ("D", BENIGN, "CIRC", NORMAL),
    ("D", BENIGN, "CIRC", BENIGN),
    ("D", MALIGNANT, "SPIC", BENIGN),
]


def films() -> dict[str, Film]:
    changed = [
        film.model_copy(
            update={
                "density": density,
                "label": label,
                "lesions": (Lesion(kind=kind, label=label),) if kind else (),
                "patient": film.id,
            }
        )
        for film, (density, label, kind, _) in zip(small_manifest().films, FILMS, strict=False)
    ]
    return {film.id: film for film in changed}


def judged(known: dict[str, Film]) -> FoldPredictions:
    return FoldPredictions(
        films=tuple(known),
        patients=tuple(known),
        labels=tuple(film.label for film in known.values()),
        probabilities=tuple(SURE[answer] for *_, answer in FILMS),
        folds=(0,) * len(FILMS),
    )


def groups() -> dict[str, GroupMetrics]:
    known = films()
    return {group.name: group for group in by_group(judged(known), known)}


class TestByGroup:
    def test_a_density_has_its_own_films_and_a_kind_of_lesion_those_that_have_one(self) -> None:
        found = groups()
        assert {name: (group.films, group.abnormal) for name, group in found.items()} == {
            "fatty": (2, 1),
            "dense-glandular": (5, 3),
            "spiculated mass": (2, 2),
            "well-defined mass": (2, 2),
        }

    def test_what_is_right_and_what_is_called_abnormal_is_counted_within_the_group(self) -> None:
        found = groups()
        assert found["fatty"].accuracy.value == 1
        assert found["dense-glandular"].accuracy.value == pytest.approx(2 / 5)
        assert found["dense-glandular"].recall.value == pytest.approx(2 / 3)  # benign for malignant is abnormal still
        assert (found["spiculated mass"].accuracy.value, found["spiculated mass"].recall.value) == (0.5, 1)

    def test_films_with_a_lesion_are_ranked_against_all_normal_films(self) -> None:
        found = groups()
        # two normal films have an abnormal score of 0.2 and one of 0.9; the two lesions 0.2 and 0.9
        assert found["well-defined mass"].abnormal_auc.value == pytest.approx((2 / 2 + 0 + 2 + 1 / 2) / 6)
        assert found["dense-glandular"].abnormal_auc.value == pytest.approx((0.5 + 0 + 2 * (1 + 0.5)) / 6)

    def test_films_that_nobody_knows_are_left_out(self) -> None:
        known = films()
        predictions = FoldPredictions(
            films=("a", "b"),
            patients=("a", "b"),
            labels=(NORMAL, BENIGN),
            probabilities=(SURE[NORMAL],) * 2,
            folds=(0, 0),
        )
        assert by_group(predictions, known) == ()

    def test_views_and_acquisitions_are_groups_where_there_are_several(self) -> None:
        known = films()
        for number, name in enumerate(known):
            taken = {"view": "CC" if number < 3 else "MLO", "acquisition": "digital" if number else None}
            known[name] = known[name].model_copy(update=taken)
        found = {group.name: group for group in by_group(judged(known), known)}
        assert (found["CC"].of, found["CC"].films, found["CC"].abnormal) == ("view", 3, 1)
        assert (found["MLO"].films, found["MLO"].abnormal) == (4, 3)
        assert found["CC"].accuracy.value == 1
        assert "digital" not in found, "the only acquisition that is known"
