"""Predictions of films with known labels: what is refused, and how folds are put together."""

import pytest
from pydantic import ValidationError

from shared.domain.records import CLASSES
from shared.modelling.predictions import FoldPredictions, merge
from tests.support.builders import small_predictions


class TestMerge:
    def test_keeps_the_order_of_folds(self) -> None:
        first, second = small_predictions().at(range(4)), small_predictions()
        merged = merge([first, second])
        assert merged.films == first.films + second.films
        assert merged.probabilities == first.probabilities + second.probabilities
        with pytest.raises(ValidationError):
            merge([])


class TestFoldPredictions:
    @pytest.mark.parametrize("row", [(0.5, 0.4, 0.2), (-0.5, 1.0, 0.5), (float("nan"), 0.5, 0.5)])
    def test_rows_that_are_no_distribution_are_refused(self, row: tuple[float, float, float]) -> None:
        with pytest.raises(ValidationError, match="mdb002"):
            FoldPredictions(
                films=("mdb001", "mdb002"),
                patients=("p1", "p1"),
                labels=(CLASSES[0], CLASSES[1]),
                probabilities=((1.0, 0.0, 0.0), row),
                folds=(0, 0),
            )

    def test_fields_of_unequal_length_are_refused(self) -> None:
        with pytest.raises(ValidationError, match="same length"):
            FoldPredictions(
                films=("a",), patients=(), labels=(CLASSES[0],), probabilities=((1.0, 0.0, 0.0),), folds=(0,)
            )

    def test_rows_truth_and_abnormal_follow_the_order_of_films(self) -> None:
        found = small_predictions().at((0, 2, 4))
        assert found.rows.tolist() == [[0.6, 0.3, 0.1], [0.2, 0.6, 0.2], [0.1, 0.3, 0.6]]
        assert found.truth.tolist() == [0, 1, 2]
        assert found.abnormal.tolist() == [False, True, True]

    def test_other_rows_keep_the_films(self) -> None:
        found = small_predictions()
        turned = found.with_rows(found.rows[:, ::-1])
        assert turned.probabilities[0] == (0.1, 0.3, 0.6)
        assert turned.model_copy(update={"probabilities": found.probabilities}) == found

    def test_films_are_taken_in_the_order_that_is_asked_for_and_none_is_refused(self) -> None:
        found = small_predictions()
        assert found.at((5, 1)).films == ("mdb006", "mdb002")
        with pytest.raises(ValidationError, match="at least 1 item"):
            found.at(())
