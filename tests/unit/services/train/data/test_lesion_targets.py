"""What circles tell of the places of a feature map, and the loss that asks for it."""

import numpy as np
import pytest

from services.train.data.lesion_targets import UNKNOWN, breast_mask, place_labels
from shared.domain.lesions import Lesion
from shared.domain.records import Label

SQUARE = (100, 200, 800)  # the network sees columns 100..900 and rows 200..1000 of the film


def lesion(x: float | None, y: float | None, radius: float | None, label: Label = Label.MALIGNANT) -> Lesion:
    return Lesion(kind="CIRC", label=label, x=x, y=y, radius=radius)


class TestPlaceLabels:
    def test_the_places_that_a_circle_covers_have_its_class_and_those_on_its_edge_none(self) -> None:
        places = place_labels([lesion(500, 600, 110)], Label.MALIGNANT, SQUARE, 8)
        assert places.shape == (8, 8)
        assert (places[3:5, 3:5] == 2).all()
        assert places[2, 3] == UNKNOWN
        assert (places[:2] == 0).all()
        assert (places == 2).sum() == 4

    def test_a_circle_smaller_than_a_place_has_that_place(self) -> None:
        places = place_labels([lesion(155, 950, 12, Label.BENIGN)], Label.BENIGN, SQUARE, 8)
        assert places[7, 0] == 1
        assert (places == 0).sum() == 63

    def test_a_box_and_a_point_mark_the_places_that_they_cover(self) -> None:
        box = Lesion.of_box("mass", Label.MALIGNANT, (400, 500, 600, 700))
        places = place_labels([box], Label.MALIGNANT, SQUARE, 8)
        assert (places == 2).sum() == 4
        assert (places[3:5, 3:5] == 2).all()
        point = Lesion(kind="mass", label=Label.BENIGN, outline=((155, 950),))
        assert np.argwhere(place_labels([point], Label.BENIGN, SQUARE, 8) == 1).tolist() == [[7, 0]]

    def test_where_circles_overlap_the_more_severe_one_counts(self) -> None:
        both = [lesion(500, 600, 150), lesion(500, 600, 150, Label.BENIGN)]
        assert place_labels(both, Label.MALIGNANT, SQUARE, 8)[3, 3] == 2

    def test_a_normal_film_is_normal_everywhere(self) -> None:
        assert (place_labels([], Label.NORMAL, SQUARE, 8) == 0).all()

    @pytest.mark.parametrize(
        "lesions", [[], [lesion(None, None, None)], [lesion(500, 600, 90), lesion(None, None, None)]]
    )
    def test_a_film_with_a_lesion_without_a_place_tells_nothing(self, lesions: list[Lesion]) -> None:
        assert (place_labels(lesions, Label.BENIGN, SQUARE, 8) == UNKNOWN).all()

    def test_a_circle_outside_what_the_network_sees_marks_nothing(self) -> None:
        assert (place_labels([lesion(20, 600, 30)], Label.MALIGNANT, SQUARE, 8) == 0).all()


class TestBreastMask:
    @pytest.mark.parametrize("size", [64, 70])
    def test_a_place_that_sees_a_pixel_of_the_breast_lies_in_it(self, size: int) -> None:
        films = np.zeros((2, 1, size, size), np.float32)
        films[1, 0, -1, 0] = 0.1
        assert np.argwhere(breast_mask(films, np.array([1]), 8)).tolist() == [[0, 7, 0]]
