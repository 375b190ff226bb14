"""The skin line: a step in a constant background, which digital films have, and a fading one, which film scans have."""

import cv2
import numpy as np
import pytest

from shared.imaging.image import Grey
from shared.imaging.segmentation.breast import find_breast, fine
from tests.support.films import film_of
from tests.support.masks import dice


def digital(background: int = 0, periphery: int = 60) -> tuple[Grey, Grey]:
    """A craniocaudal breast (uint8, 1024 x 832) whose fat is as bright at the skin as inside, and its mask."""
    mask = np.zeros((1024, 832), np.uint8)
    cv2.ellipse(mask, (0, 500), (360, 380), 0, 0, 360, 255, cv2.FILLED, cv2.LINE_AA)
    tissue = np.full(mask.shape, periphery, np.float32)
    cv2.circle(tissue, (120, 480), 150, 200.0, cv2.FILLED)
    grain = np.random.default_rng(3).normal(0, 3, mask.shape)
    pixels = background + (cv2.GaussianBlur(tissue, (0, 0), 25) + grain - background) * (mask / 255)
    return np.rint(pixels).clip(0, 255).astype(np.uint8), np.where(mask > 127, 255, 0).astype(np.uint8)


class TestSkinLine:
    @pytest.mark.parametrize("background", [0, 12, 40])
    def test_a_breast_that_begins_with_a_step_is_found_to_the_pixel(self, background: int) -> None:
        pixels, mask = digital(background, background + 50)
        reduced = find_breast(fine(pixels))
        assert reduced.stepped
        assert dice(cv2.resize(reduced.outline, pixels.shape[::-1]) // 128 * 255, mask) > 0.99

    def test_fat_that_is_darker_than_a_film_scan_s_skin_is_no_background(self) -> None:
        """Equalised digital films have fat at a tenth of the glandular tissue's level."""
        pixels, mask = digital(periphery=18)
        reduced = find_breast(fine(pixels))
        assert reduced.stepped
        assert dice(cv2.resize(reduced.outline, pixels.shape[::-1]) // 128 * 255, mask) > 0.985

    def test_a_fading_skin_line_is_no_step(self) -> None:
        pixels, mask = digital()
        depth = cv2.distanceTransform(np.pad(mask, ((0, 0), (400, 0)), mode="edge"), cv2.DIST_L2, 5)[:, 400:]
        scan = np.rint(8 + pixels * np.clip(depth / 120, 0, 1)).clip(0, 255).astype(np.uint8)
        assert not find_breast(fine(scan)).stepped

    def test_one_bright_pixel_and_a_label_move_no_outline(self) -> None:
        pixels, _ = digital()
        marked = pixels.copy()
        marked[3, 800] = 255
        cv2.putText(marked, "R CC", (560, 120), cv2.FONT_HERSHEY_SIMPLEX, 2.5, 255, 6)
        assert np.array_equal(find_breast(fine(marked)).outline, find_breast(fine(pixels)).outline)

    @pytest.mark.parametrize("degrees", [-30, -10, 10, 30])
    def test_a_turned_strip_of_film_in_black_padding_is_no_digital_film(self, degrees: float) -> None:
        """Its edges are steps in a constant background as well; the scanned ground inside of them is no breast."""
        scan = film_of(8, seed=3)
        turn = cv2.getRotationMatrix2D((511.5, 511.5), degrees, 1)
        film, breast = (
            np.asarray(cv2.warpAffine(array, turn, (1024, 1024)), np.uint8) for array in (scan.pixels, scan.breast)
        )
        reduced = find_breast(fine(film))
        assert not reduced.stepped
        assert dice(cv2.resize(reduced.outline, film.shape[::-1]) // 128 * 255, breast) > 0.94
