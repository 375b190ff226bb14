"""The rule that makes answers for breasts and exams of those for films."""

import numpy as np
import pytest

from shared.modelling.comparison import log_odds
from shared.modelling.exams import breast_probabilities, judge_exam
from shared.modelling.predictions import Floats

CLEAN, DOUBTFUL, SUSPICIOUS = [0.9, 0.06, 0.04], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7]


def rows(*films: list[float]) -> Floats:
    return np.array(films)


def test_a_breast_has_the_mean_log_odds_of_its_views() -> None:
    films = rows(CLEAN, SUSPICIOUS)
    found = breast_probabilities(films, ["CC", "MLO"])
    assert log_odds(found[None])[0] == pytest.approx(log_odds(films).mean(axis=0))
    assert found.sum() == pytest.approx(1)


def test_the_mean_of_two_views_by_hand() -> None:
    # odds of malignant against normal 1/9 and 9: their geometric mean is 1
    found = breast_probabilities(rows([0.9, 0.0, 0.1], [0.1, 0.0, 0.9]), ["CC", "MLO"])
    assert found == pytest.approx([0.5, 0.0, 0.5], abs=1e-8)


def test_a_view_taken_twice_counts_once() -> None:
    once = breast_probabilities(rows(CLEAN, SUSPICIOUS), ["CC", "MLO"])
    twice = breast_probabilities(rows(CLEAN, CLEAN, SUSPICIOUS), ["CC", "CC", "MLO"])
    assert twice == pytest.approx(once)


def test_films_of_unknown_view_are_one_view() -> None:
    known = breast_probabilities(rows(CLEAN, CLEAN, SUSPICIOUS), ["CC", "CC", "MLO"])
    unknown = breast_probabilities(rows(CLEAN, CLEAN, SUSPICIOUS), [None, None, "MLO"])
    assert unknown == pytest.approx(known)


def test_an_exam_has_the_probabilities_of_its_most_suspicious_breast() -> None:
    films = rows(CLEAN, DOUBTFUL, CLEAN, SUSPICIOUS)
    exam = judge_exam(films, ["R", "L", "R", "L"], ["CC", "CC", "MLO", "MLO"])
    assert [(breast.side, breast.films) for breast in exam.breasts] == [("R", (0, 2)), ("L", (1, 3))]
    assert exam.worst == 1
    assert np.array_equal(exam.probabilities, breast_probabilities(films[[1, 3]], ["CC", "MLO"]))


def test_suspicion_is_the_abnormal_score_and_not_the_malignant_class_alone() -> None:
    benign, malignant = [0.1, 0.85, 0.05], [0.6, 0.1, 0.3]
    assert judge_exam(rows(malignant, benign), ["R", "L"], ["CC", "CC"]).worst == 1


def test_one_film_keeps_its_own_probabilities_to_the_last_bit() -> None:
    film = rows([1 / 3, 0.0, 2 / 3])
    exam = judge_exam(film, ["L"], [None])
    assert np.array_equal(exam.probabilities, film[0])
    assert np.array_equal(exam.breasts[0].probabilities, film[0])


def test_certain_answers_can_be_averaged() -> None:
    found = breast_probabilities(rows([1.0, 0.0, 0.0], [0.0, 0.0, 1.0]), ["CC", "MLO"])
    assert found == pytest.approx([0.5, 0.0, 0.5], abs=1e-4)


def test_a_film_of_unknown_side_is_a_breast_of_its_own() -> None:
    exam = judge_exam(rows(CLEAN, SUSPICIOUS, CLEAN), [None, None, "L"], ["CC", "CC", "CC"])
    assert [(breast.side, breast.films) for breast in exam.breasts] == [(None, (0,)), (None, (1,)), ("L", (2,))]
    assert exam.probabilities == pytest.approx(SUSPICIOUS)


def test_the_order_of_the_films_changes_nothing() -> None:
    films, sides, views = rows(CLEAN, DOUBTFUL, SUSPICIOUS, CLEAN), ["R", "L", "L", "R"], ["CC", "CC", "MLO", "MLO"]
    order = [3, 1, 0, 2]
    turned = judge_exam(films[order], [sides[at] for at in order], [views[at] for at in order])
    assert turned.probabilities == pytest.approx(judge_exam(films, sides, views).probabilities)
