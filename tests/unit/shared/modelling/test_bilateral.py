"""A film beside that of the other breast."""

import numpy as np
import pytest

from shared.domain.films import Film
from shared.domain.records import CLASSES, Label
from shared.modelling.bilateral import WEIGHT, both_sides, compared, log_odds
from shared.modelling.calibration import calibrate
from shared.modelling.predictions import FoldPredictions
from tests.support.builders import small_manifest

NORMAL, BENIGN, MALIGNANT = CLASSES
ROWS = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3]])
MEAN = (0.0, -0.7, -1.8)


def pictured(**changes: object) -> FoldPredictions:
    """Left and right of two patients, and the only film of a third."""
    rows = ((0.5, 0.3, 0.2), (0.7, 0.2, 0.1), (0.2, 0.2, 0.6), (0.8, 0.1, 0.1), (0.4, 0.3, 0.3))
    fields = {
        "films": ("a-l", "a-r", "b-r", "b-l", "c-l"),
        "patients": ("a", "a", "b", "b", "c"),
        "labels": (BENIGN, NORMAL, MALIGNANT, NORMAL, NORMAL),
        "probabilities": rows,
        "folds": (0, 0, 1, 1, 0),
    }
    return FoldPredictions.model_validate(fields | changes)


def known(**sides_and_views: str) -> dict[str, Film]:
    """Films by id, from 'left MLO' and such."""
    film = small_manifest(1).films[0]
    told = {name.replace("_", "-"): words.split() for name, words in sides_and_views.items()}
    return {
        name: film.model_copy(update={"id": name, "side": side, "view": view or None, "exam": exam or None})
        for name, (side, view, exam) in ((name, (*words, "", "")[:3]) for name, words in told.items())
    }


FILMS = known(a_l="left MLO", a_r="right MLO", b_r="right MLO", b_l="left MLO", c_l="left MLO")


class TestCompared:
    def test_beside_a_film_that_looks_as_films_do_nothing_changes(self) -> None:
        usual = np.exp([MEAN, MEAN])
        assert compared(ROWS, usual / usual.sum(axis=1, keepdims=True), MEAN) == pytest.approx(ROWS)

    def test_of_two_films_the_more_suspicious_one_becomes_more_so_the_less_the_other_is(self) -> None:
        alike, clean = np.array([[0.3, 0.4, 0.3]]), np.array([[0.9, 0.06, 0.04]])
        film = np.array([[0.2, 0.5, 0.3]])
        assert compared(film, clean, MEAN)[0, 0] < compared(film, alike, MEAN)[0, 0]

    def test_the_temperature_divides_what_comes_out(self) -> None:
        plain = compared(ROWS, ROWS[::-1], MEAN)
        assert compared(ROWS, ROWS[::-1], MEAN, 2.0) == pytest.approx(calibrate(plain, 2.0))

    def test_certain_answers_are_compared_as_well(self) -> None:
        certain = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
        assert compared(certain, certain[::-1], MEAN).sum(axis=1) == pytest.approx([1, 1])


class TestLogOdds:
    def test_half_of_how_far_the_other_film_is_from_the_mean_is_taken_off(self) -> None:
        beside = log_odds(compared(ROWS, ROWS[::-1], MEAN))
        assert beside == pytest.approx(log_odds(ROWS) - WEIGHT * (log_odds(ROWS[::-1]) - np.array(MEAN)))

    def test_a_view_that_was_taken_twice_is_met_as_the_mean_of_both(self) -> None:
        twice = pictured(patients=("a", "a", "a", "b", "c"), folds=(0,) * 5)
        found = both_sides(twice, FILMS)
        assert found
        films, others = found
        assert films.films == ("a-l", "a-r", "b-r")
        rows = twice.rows
        assert log_odds(others[:1])[0] == pytest.approx(log_odds(rows[1:3]).mean(axis=0))
        assert np.array_equal(others[1:], rows[[0, 0]])


class TestBothSides:
    def test_films_meet_that_of_the_other_breast_of_the_same_patient_and_fold(self) -> None:
        found = both_sides(pictured(), FILMS)
        assert found
        films, others = found
        assert films.films == ("a-l", "b-r", "a-r", "b-l")
        rows = dict(zip(pictured().films, pictured().probabilities, strict=True))
        assert [tuple(row) for row in others.tolist()] == [rows[film] for film in ("a-r", "b-l", "a-l", "b-r")]
        assert [str(label) for label in films.labels] == [BENIGN, MALIGNANT, NORMAL, NORMAL]

    def test_films_meet_the_same_view_of_the_same_exam_alone(self) -> None:
        four = pictured(patients=("a",) * 5, folds=(0,) * 5)
        views = known(a_l="left MLO", a_r="right MLO", b_r="right CC", b_l="left CC", c_l="left")
        found = both_sides(four, views)
        assert found
        assert found[0].films == ("a-l", "b-r", "a-r", "b-l")
        exams = known(a_l="left MLO e1", a_r="right MLO e1", b_r="right MLO e2", b_l="left MLO e2", c_l="left MLO e3")
        found = both_sides(four, exams)
        assert found
        assert found[0].films == ("a-l", "b-r", "a-r", "b-l")

    def test_films_of_unknown_view_meet_none(self) -> None:
        assert both_sides(pictured(), known(a_l="left", a_r="right", b_r="right", b_l="left MLO", c_l="left")) is None

    @pytest.mark.parametrize(
        "changes",
        [
            {"folds": (0, 1, 1, 0, 0)},
            {"patients": ("a", "b", "c", "d", "e")},
            {"films": ("a-l", "b-l", "b-r", "x", "c-l")},
        ],
        ids=["in different folds", "of different patients", "of the same side"],
    )
    def test_others_do_not(self, changes: dict[str, object]) -> None:
        assert both_sides(pictured(**changes), FILMS) is None

    def test_labels_have_no_say(self) -> None:
        turned = pictured(labels=(Label.NORMAL,) * 5)
        first, second = both_sides(pictured(), FILMS), both_sides(turned, FILMS)
        assert first
        assert second
        assert np.array_equal(first[1], second[1])
