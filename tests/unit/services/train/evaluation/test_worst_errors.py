"""The surest mistakes: which films they are, in what order, and what their picture shows."""

import cv2
import numpy as np
import pytest

from services.train.evaluation.worst_errors import error_picture, most_confident
from shared.modelling.predictions import merge
from tests.support.builders import small_predictions


class TestMostConfident:
    def test_only_what_is_wrong_is_shown_the_surest_first(self) -> None:
        judged = small_predictions()
        rows = judged.rows
        rows[9] = (0.05, 0.9, 0.05)  # normal, and called benign
        judged = judged.with_rows(rows)
        found = most_confident(judged)
        assert set(found) == set(np.flatnonzero(rows.argmax(axis=1) != judged.truth).tolist())
        assert found[0] == 9
        assert most_confident(judged, count=1) == [9]

    def test_a_film_that_was_judged_several_times_is_shown_once_as_it_was_surest(self) -> None:
        once = small_predictions()
        rows = 0.9 * once.rows + 0.1 * once.rows.mean(axis=1, keepdims=True)
        again = merge([once.with_rows(rows), once])
        assert [again.films[index] for index in most_confident(again)] == [
            once.films[index] for index in most_confident(once)
        ]
        assert min(most_confident(again)) >= len(once.films)


class TestErrorPicture:
    @pytest.mark.parametrize("heat", [None, np.array([[0, 1], [0, 0]], np.float32)])
    def test_the_map_stands_beside_the_film_and_leaves_the_background_dark(self, heat: np.ndarray | None) -> None:
        film = np.zeros((64, 64), np.float32)
        film[:, :48] = 0.5
        shown = cv2.imdecode(np.frombuffer(error_picture(film, heat), np.uint8), cv2.IMREAD_COLOR)
        assert shown.shape == (224, 224 if heat is None else 448, 3)
        assert (shown[..., 0] == shown[..., 1])[:, :224].all()
        if heat is not None:
            assert not shown[:, -40:].any()
            assert shown[40, 224 + 150].max() > shown[200, 224 + 20].max()
