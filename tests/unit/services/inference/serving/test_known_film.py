"""What is known of a film from its sender, its file and its picture, and where they disagree."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from services.inference.serving.known_film import KnownFilm, ViewAndSide, known_film
from shared.imaging.image import FileMetadata, Image
from shared.imaging.segmentation.view import View

MLO_SEEN = View("MLO", 0.9312, "shape")
UNSURE = View(None, 0.52, "shape")
PLAIN = Image(np.zeros((8, 8), np.uint8), 8, "PGM")
HEADER = replace(PLAIN, view="CC", laterality="R", metadata=FileMetadata(view_modifiers=()))


def known(image: Image, *, seen: Any = UNSURE, wall: str = "left", **stated: Any) -> KnownFilm:
    segmentation: Any = SimpleNamespace(flipped=wall == "right", view=seen)
    return known_film(image, segmentation, ViewAndSide(**stated))


class TestKnownFilm:
    @pytest.mark.parametrize(
        ("image", "seen", "stated", "view", "source", "score", "modifiers"),
        [
            (PLAIN, UNSURE, {}, None, None, None, None),
            (PLAIN, MLO_SEEN, {}, "MLO", "shape", 0.931, ()),
            (PLAIN, MLO_SEEN, {"view": "CC"}, "CC", "stated", None, ()),
            (HEADER, MLO_SEEN, {}, "CC", "file", None, ()),
            (HEADER, UNSURE, {"view": "MLO"}, "MLO", "stated", None, ()),
            (replace(HEADER, metadata=FileMetadata(view_modifiers=("magnification",))), UNSURE, {}, "CC", "file", None,
             ("magnification",)),
        ],
    )  # fmt: skip
    def test_a_view_is_the_sender_s_or_the_file_s_or_that_of_the_shape(
        self, image: Image, seen: Any, stated: Any, view: str, source: str, score: float, modifiers: tuple[str, ...]
    ) -> None:
        found = known(image, seen=seen, **stated)
        assert (found.view, found.view_source, found.view_score, found.modifiers) == (view, source, score, modifiers)

    @pytest.mark.parametrize(
        ("image", "wall", "stated", "side", "source"),
        [
            (PLAIN, "left", {}, "L", "shape"),
            (PLAIN, "right", {}, "R", "shape"),
            (HEADER, "left", {}, "R", "file"),
            (HEADER, "left", {"side": "L"}, "L", "stated"),
        ],
    )
    def test_a_side_is_the_sender_s_or_the_file_s_or_that_of_the_chest_wall(
        self, image: Image, wall: str, stated: Any, side: str, source: str
    ) -> None:
        found = known(image, wall=wall, **stated)
        assert (found.side, found.side_source) == (side, source)

    def test_what_is_said_otherwise_elsewhere_is_told_in_words(self) -> None:
        assert known(HEADER, wall="right").disagreements == ()
        found = known(HEADER, wall="right", view="MLO", side="L")
        assert found.disagreements == (
            "the stated view is MLO, but the file says CC",
            "the stated side is L, but the file says R",
            "the side is L by its source, but the chest wall on the right indicates R",
        )

    @pytest.mark.parametrize(
        ("seen", "told"),
        [
            (MLO_SEEN, ("the view is CC by its source, but the shape of the breast indicates MLO",)),
            (View("MLO", 0.7, "shape"), ()),
            (View("CC", 0.99, "shape"), ()),
            (View("CC", 1.0, "file"), ()),
        ],
    )
    def test_a_shape_that_surely_is_of_another_view_is_told(self, seen: View, told: tuple[str, ...]) -> None:
        assert known(HEADER, seen=seen, wall="right").disagreements == told

    @pytest.mark.parametrize(
        ("view", "modifiers", "standard"),
        [
            ("CC", (), "CC"), ("MLO", (), "MLO"), ("ML", (), None), ("CC", ("magnification",), None),
            ("CC", ("implant displaced",), None), (None, None, None),
        ],
    )  # fmt: skip
    def test_only_whole_and_unmodified_cc_and_mlo_are_standard_views(
        self, view: str | None, modifiers: tuple[str, ...] | None, standard: str | None
    ) -> None:
        image = replace(PLAIN, view=view, metadata=FileMetadata(view_modifiers=modifiers))
        assert known(image).standard_view == standard
