"""The activation map: where it lies on the film, and what it is made of."""

import cv2
import numpy as np
import pytest

from services.inference.serving.heatmaps import grey_png, on_film, overlay_png
from shared.imaging.preprocess import Preprocessing, input_square, network_input
from shared.imaging.segmentation.segment import segment
from shared.modelling.activation_map import activation_map


class TestOnFilm:
    @pytest.mark.parametrize("mirrored", [False, True])
    def test_what_is_hot_for_the_network_is_hot_at_the_same_place_of_the_film(
        self, film: np.ndarray, mirrored: bool
    ) -> None:
        pixels = np.ascontiguousarray(film[:, ::-1]) if mirrored else film
        plain = segment(pixels)
        x, y, width, height = plain.box
        # a bright spot inside the breast, found again in the network's input
        spot = (x + width // 3, y + height // 2)
        marked = np.zeros_like(plain.film)
        cv2.circle(marked, spot, 40, 255, cv2.FILLED)
        seen = network_input(np.where(plain.mask > 0, marked, 0).astype(np.uint8), plain.mask, Preprocessing(size=64))[
            0
        ]
        laid = on_film(seen, plain)
        assert laid.shape == (512, 512)
        row, column = np.unravel_index(cv2.GaussianBlur(laid, (15, 15), 0).argmax(), laid.shape)
        expected_x = plain.mask.shape[1] - 1 - spot[0] if plain.flipped else spot[0]
        assert [column * 2, row * 2] == pytest.approx([expected_x, spot[1]], abs=16)

    def test_off_the_breast_the_map_is_empty(self, film: np.ndarray) -> None:
        segmentation = segment(film)
        laid = on_film(np.ones((7, 7), np.float32), segmentation)
        mask = cv2.resize(segmentation.mask, laid.shape[::-1], interpolation=cv2.INTER_NEAREST)
        mask = mask[:, ::-1] if segmentation.flipped else mask
        assert not laid[mask == 0].any()
        assert laid[mask > 0].min() > 0.99


class TestHeatmaps:
    def test_the_map_is_the_product_of_the_head_and_the_features(self) -> None:
        rng = np.random.default_rng(1)
        features, head = rng.random((5, 4, 6), np.float32), rng.normal(size=(3, 5)).astype(np.float32)
        expected = np.maximum(np.einsum("c,chw->hw", head[2], features), 0)
        heat = activation_map(features, head, 2)
        assert heat.shape == (4, 6)
        assert heat == pytest.approx(expected / expected.max(), abs=1e-5)

    def test_where_nothing_speaks_for_the_class_the_map_is_empty(self) -> None:
        assert not activation_map(np.ones((2, 3, 3), np.float32), -np.ones((3, 2), np.float32), 0).any()

    def test_the_square_of_a_wide_breast_reaches_beyond_it(self) -> None:
        assert input_square((10, 100, 60, 40)) == (10, 90, 60)
        assert input_square((10, 100, 40, 60)) == (10, 100, 60)


class TestOverlayPng:
    def test_the_overlay_hides_nothing_where_the_map_is_zero(self) -> None:
        heat = np.array([[0.0, 0.5], [1.0, 0.0]], np.float32)
        colour = cv2.imdecode(np.frombuffer(overlay_png(heat), np.uint8), cv2.IMREAD_UNCHANGED)
        assert colour.shape == (2, 2, 4)
        assert colour[..., 3].tolist() == [[0, 128], [255, 0]]
        grey = cv2.imdecode(np.frombuffer(grey_png(heat), np.uint8), cv2.IMREAD_UNCHANGED)
        assert grey.tolist() == [[0, 128], [255, 0]]
