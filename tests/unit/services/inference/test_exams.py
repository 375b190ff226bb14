"""Films of an exam together: breasts, the exam, and which films are compared with those of the other breast."""

from typing import Any

import numpy as np
import pytest

from services.inference.exams import JudgedFilm, beside_other_breast, breasts_and_exam
from services.inference.serving.known_film import KnownFilm
from shared.imaging.image import FileMetadata
from shared.modelling.bilateral import compared, log_odds
from shared.modelling.exams import ExamRule, LevelFigures
from tests.support.builders import comparison, model_card

CARD = model_card(comparison=comparison())
ROWS = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.6, 0.1, 0.3]])


def film(position: int, view: str | None, side: Any, *modifiers: str) -> JudgedFilm:
    known = KnownFilm(view, view and "file", None, modifiers if view else None, side, "file", (), FileMetadata())
    return JudgedFilm(position, ROWS[position % len(ROWS)], known)


class TestBreastsAndExam:
    def test_repeats_of_a_view_are_averaged_before_views_and_the_worst_breast_speaks_for_the_exam(self) -> None:
        films = [film(0, "CC", "R"), film(1, "CC", "R"), film(2, "MLO", "R"), film(3, "CC", "L")]
        breasts, exam = breasts_and_exam(CARD, films, "balanced")
        logs = log_odds(ROWS)
        expected = ((logs[0] + logs[1]) / 2 + logs[2]) / 2
        right, left = breasts
        assert (right.laterality, right.films, left.laterality, left.films) == ("R", (0, 1, 2), "L", (3,))
        found = np.array(list(dict(right.probabilities).values()))
        assert log_odds(found[None])[0] == pytest.approx(expected, abs=1e-4)
        assert exam is not None
        assert (exam.laterality, exam.decision, exam.figures_of) == ("R", right.decision, "film")
        assert exam.decision.operating_point.threshold == 0.5

    def test_a_modified_view_is_no_repeat_of_the_standard_one(self) -> None:
        films = [film(0, "CC", "R"), film(1, "CC", "R", "magnification"), film(2, "MLO", "R")]
        (breast,), _ = breasts_and_exam(CARD, films, "balanced")
        found = np.array(list(dict(breast.probabilities).values()))
        assert log_odds(found[None])[0] == pytest.approx(log_odds(ROWS[:3]).mean(axis=0), abs=1e-4)

    def test_decisions_are_at_the_points_of_the_card_for_breasts_and_exams_where_it_has_them(self) -> None:
        points = comparison().operating_points
        figures = LevelFigures(metrics=comparison().metrics, operating_points=points)
        card = model_card(exam_rule=ExamRule(breast=figures, exam=figures))
        (breast,), exam = breasts_and_exam(card, [film(0, "CC", "R")], "balanced")
        assert exam is not None
        assert (breast.figures_of, exam.figures_of) == ("breast", "exam")
        assert exam.decision.operating_point.threshold == 0.55

    def test_an_exam_without_any_film_has_no_answer(self) -> None:
        assert breasts_and_exam(CARD, [], "balanced") == ((), None)


class TestBesideOtherBreast:
    def test_a_film_is_judged_beside_the_same_view_of_the_other_breast_repeats_averaged(self) -> None:
        films = [film(0, "CC", "R"), film(5, "CC", "L"), film(6, "CC", "L"), film(3, "MLO", "L")]
        found = beside_other_breast(CARD, films, "balanced")
        assert {position: each.beside for position, each in found.items()} == {0: (5, 6), 5: (0,), 6: (0,)}
        other = np.exp(log_odds(ROWS[1:3]).mean(axis=0))
        expected = compared(ROWS[:1], (other / other.sum())[None], comparison().centre, comparison().temperature)[0]
        assert list(dict(found[0].probabilities).values()) == pytest.approx(expected.tolist(), abs=1e-5)
        assert found[0].decision.operating_point.threshold == 0.55

    @pytest.mark.parametrize(
        "films",
        [
            [film(0, None, "R"), film(1, None, "L")],
            [film(0, "CC", "R"), film(1, "MLO", "L")],
            [film(0, "CC", "R"), film(1, "CC", "R")],
            [film(0, "CC", "R"), film(1, "CC", "L", "magnification")],
            [film(0, "MLO", "R", "implant displaced"), film(1, "MLO", "L", "implant displaced")],
            [film(0, "ML", "R"), film(1, "ML", "L")],
            [film(0, "CC", "R")],
        ],
        ids=[
            "unknown views",
            "other views",
            "same side",
            "magnified",
            "implants displaced",
            "no screening view",
            "alone",
        ],
    )
    def test_films_that_are_no_standard_pair_are_not_compared(self, films: list[JudgedFilm]) -> None:
        assert beside_other_breast(CARD, films, "balanced") == {}

    def test_a_card_without_a_comparison_compares_nothing(self) -> None:
        assert beside_other_breast(model_card(), [film(0, "CC", "R"), film(1, "CC", "L")], "balanced") == {}
