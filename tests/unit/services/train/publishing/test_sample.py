"""Samples of films."""

import numpy as np

from services.train.publishing.sample import drawn


class TestDrawn:
    def test_a_small_set_is_taken_whole_and_in_order(self) -> None:
        assert drawn(np.array([1, 0, 2, 0]), 4).tolist() == [0, 1, 2, 3]

    def test_rare_classes_are_kept_whole_and_the_others_share_the_rest(self) -> None:
        labels = np.repeat([0, 1, 2], [900, 95, 5])
        counts = np.bincount(labels[drawn(labels, 100)], minlength=3)
        assert counts.tolist() == [48, 47, 5]

    def test_views_that_take_turns_are_all_drawn(self) -> None:
        views = np.arange(4000) % 4
        drawn_of_view = np.bincount(views[drawn(np.zeros(4000, int), 1000)])
        assert drawn_of_view.sum() == 1000
        assert drawn_of_view.min() > 200

    def test_the_same_films_are_drawn_again(self) -> None:
        labels = np.arange(1000) % 3
        assert drawn(labels, 90).tolist() == drawn(labels, 90).tolist()
