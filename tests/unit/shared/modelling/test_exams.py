"""The rule that makes answers for breasts and exams of those for films."""

import numpy as np
import pytest

from shared.domain.arrays import Float64Array
from shared.domain.records import CLASSES, Label
from shared.modelling.bilateral import log_odds
from shared.modelling.exams import breast_probabilities, by_breast_and_exam, judge_exam
from shared.modelling.predictions import FoldPredictions
from tests.support.builders import exam_manifest, small_manifest

CLEAN, DOUBTFUL, SUSPICIOUS = [0.9, 0.06, 0.04], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7]


def rows(*films: list[float]) -> Float64Array:
    return np.array(films)


class TestBreastProbabilities:
    def test_a_breast_has_the_mean_log_odds_of_its_views(self) -> None:
        films = rows(CLEAN, SUSPICIOUS)
        found = breast_probabilities(films, ["CC", "MLO"])
        assert log_odds(found[None])[0] == pytest.approx(log_odds(films).mean(axis=0))
        assert found.sum() == pytest.approx(1)

    def test_the_mean_of_two_views_by_hand(self) -> None:
        # odds of malignant against normal 1/9 and 9: their geometric mean is 1
        found = breast_probabilities(rows([0.9, 0.0, 0.1], [0.1, 0.0, 0.9]), ["CC", "MLO"])
        assert found == pytest.approx([0.5, 0.0, 0.5], abs=1e-8)

    def test_a_view_taken_twice_counts_once(self) -> None:
        once = breast_probabilities(rows(CLEAN, SUSPICIOUS), ["CC", "MLO"])
        twice = breast_probabilities(rows(CLEAN, CLEAN, SUSPICIOUS), ["CC", "CC", "MLO"])
        assert twice == pytest.approx(once)

    def test_films_of_unknown_view_are_one_view(self) -> None:
        known = breast_probabilities(rows(CLEAN, CLEAN, SUSPICIOUS), ["CC", "CC", "MLO"])
        unknown = breast_probabilities(rows(CLEAN, CLEAN, SUSPICIOUS), [None, None, "MLO"])
        assert unknown == pytest.approx(known)

    def test_certain_answers_can_be_averaged(self) -> None:
        found = breast_probabilities(rows([1.0, 0.0, 0.0], [0.0, 0.0, 1.0]), ["CC", "MLO"])
        assert found == pytest.approx([0.5, 0.0, 0.5], abs=1e-4)


class TestJudgeExam:
    def test_an_exam_has_the_probabilities_of_its_most_suspicious_breast(self) -> None:
        films = rows(CLEAN, DOUBTFUL, CLEAN, SUSPICIOUS)
        exam = judge_exam(films, ["R", "L", "R", "L"], ["CC", "CC", "MLO", "MLO"])
        assert [(breast.side, breast.films) for breast in exam.breasts] == [("R", (0, 2)), ("L", (1, 3))]
        assert exam.worst == 1
        assert np.array_equal(exam.probabilities, breast_probabilities(films[[1, 3]], ["CC", "MLO"]))

    def test_suspicion_is_the_abnormal_score_and_not_the_malignant_class_alone(self) -> None:
        benign, malignant = [0.1, 0.85, 0.05], [0.6, 0.1, 0.3]
        assert judge_exam(rows(malignant, benign), ["R", "L"], ["CC", "CC"]).worst == 1

    def test_one_film_keeps_its_own_probabilities_to_the_last_bit(self) -> None:
        film = rows([1 / 3, 0.0, 2 / 3])
        exam = judge_exam(film, ["L"], [None])
        assert np.array_equal(exam.probabilities, film[0])
        assert np.array_equal(exam.breasts[0].probabilities, film[0])

    def test_a_film_of_unknown_side_is_a_breast_of_its_own(self) -> None:
        exam = judge_exam(rows(CLEAN, SUSPICIOUS, CLEAN), [None, None, "L"], ["CC", "CC", "CC"])
        assert [(breast.side, breast.films) for breast in exam.breasts] == [(None, (0,)), (None, (1,)), ("L", (2,))]
        assert exam.probabilities == pytest.approx(SUSPICIOUS)

    def test_the_order_of_the_films_changes_nothing(self) -> None:
        films, sides, views = rows(CLEAN, DOUBTFUL, SUSPICIOUS, CLEAN), ["R", "L", "L", "R"], ["CC", "CC", "MLO", "MLO"]
        order = [3, 1, 0, 2]
        turned = judge_exam(films[order], [sides[at] for at in order], [views[at] for at in order])
        assert turned.probabilities == pytest.approx(judge_exam(films, sides, views).probabilities)


FILMS = {film.id: film for film in (*exam_manifest(2).films, *small_manifest(2).films)}
JUDGED = FoldPredictions(
    films=("e001_R_CC", "e001_L_CC", "e001_R_MLO", "e001_L_MLO", "e002_R_CC", "mdb001", "mdb002"),
    patients=("p001",) * 4 + ("p002", "p009", "p009"),
    labels=(*CLASSES, Label.NORMAL, Label.NORMAL, Label.BENIGN, Label.NORMAL),
    probabilities=tuple((row[0], row[1], row[2]) for row in (CLEAN, DOUBTFUL, CLEAN, SUSPICIOUS) * 2)[:7],
    folds=(0, 0, 0, 0, 0, 1, 1),
)


class TestByBreastAndExam:
    def test_breasts_and_exams_of_judged_films_have_their_worst_label(self) -> None:
        found = by_breast_and_exam(JUDGED, FILMS)
        assert found
        breasts, exams = found["breast"], found["exam"]
        assert breasts.films[:3] == ("p001/e001/right", "p001/e001/left", "p002/e002/right")
        assert [str(label) for label in breasts.labels] == ["malignant", "benign", "normal", "benign", "normal"]
        assert exams.films == ("p001/e001", "p002/e002", "p009/"), "films without an exam are of one exam"
        assert [str(label) for label in exams.labels] == ["malignant", "normal", "benign"]
        assert exams.patients == ("p001", "p002", "p009")
        assert exams.folds == (0, 0, 1)

    def test_breasts_and_exams_of_judged_films_have_what_the_rule_gives_them(self) -> None:
        found = by_breast_and_exam(JUDGED, FILMS)
        assert found
        left = breast_probabilities(rows(DOUBTFUL, SUSPICIOUS), ["CC", "MLO"])
        assert found["breast"].rows[:2] == pytest.approx(np.stack([rows(CLEAN)[0], left]))
        assert found["exam"].rows[0] == pytest.approx(left)
        assert np.array_equal(found["exam"].rows[1], CLEAN)

    def test_an_exam_that_is_held_out_in_two_divisions_is_judged_in_each(self) -> None:
        twice = JUDGED.model_copy(update={"folds": (0, 0, 1, 1, 0, 1, 1)})
        found = by_breast_and_exam(twice, FILMS)
        assert found
        assert found["exam"].folds == (0, 1, 0, 1)

    def test_films_of_which_nothing_is_known_are_left_out(self) -> None:
        known = {name: film for name, film in FILMS.items() if name.startswith("mdb")}
        found = by_breast_and_exam(JUDGED, known)
        assert found
        assert found["exam"].films == ("p009/",)
        assert by_breast_and_exam(JUDGED, {}) is None
