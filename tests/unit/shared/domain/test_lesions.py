"""Lesions: whatever a data set draws around them becomes one polygon, and circles are stored as they were."""

import numpy as np
import pytest

from shared.domain.lesions import Lesion, Point
from shared.domain.records import Label

MALIGNANT = Label.MALIGNANT


def area(corners: tuple[Point, ...]) -> float:
    x, y = np.array(corners).T
    return abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1))) / 2


class TestLesion:
    def test_a_circle_is_stored_as_before_and_becomes_a_polygon_of_its_area(self) -> None:
        circle = Lesion(kind="CIRC", label=MALIGNANT, x=50, y=40, radius=10)
        assert circle.model_dump_json() == '{"kind":"CIRC","label":"malignant","x":50.0,"y":40.0,"radius":10.0}'
        assert area(circle.polygon) == pytest.approx(np.pi * 100)
        assert np.mean(circle.polygon, axis=0) == pytest.approx([50, 40])

    def test_a_box_and_a_point_are_outlines(self) -> None:
        box = Lesion.of_box("mass", MALIGNANT, (10, 20, 40, 60))
        assert area(box.polygon) == 30 * 40
        point = Lesion(kind="mass", label=MALIGNANT, outline=((3, 4),))
        assert point.polygon == ((3, 4),)
        for lesion in (box, point):
            assert Lesion.model_validate_json(lesion.model_dump_json()) == lesion

    def test_a_lesion_that_was_not_localised_has_no_polygon(self) -> None:
        assert Lesion(kind="CALC", label=MALIGNANT).polygon == ()

    def test_an_outline_is_mirrored_with_its_film(self) -> None:
        box = Lesion.of_box("mass", MALIGNANT, (10, 20, 40, 60)).mirrored(100)
        assert {x for x, _ in box.polygon} == {60, 90}
        assert {y for _, y in box.polygon} == {20, 60}
        circle = Lesion(kind="CIRC", label=MALIGNANT, x=10, y=20, radius=5)
        assert circle.mirrored(100).x == 90
