"""Breast segmentation on synthetic films, whose truth is known, and on MIAS against hand-made masks."""

from functools import cache
from pathlib import Path
from typing import TypeAlias
from unittest.mock import Mock

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from shared.datasets.mias import parse_info
from shared.datasets.phantom import SyntheticFilm
from shared.errors import NotAMammogram
from shared.imaging.segmentation.breast import enlarged
from shared.imaging.segmentation.gate import judge
from shared.imaging.segmentation.regions import around
from shared.imaging.segmentation.segment import Segmentation, segment
from tests.bench.segmentation import CHANGES, found
from tests.support.films import film_of
from tests.support.masks import dice

Mask: TypeAlias = npt.NDArray[np.uint8]
FILMS = range(1, 9)


def film(number: int) -> SyntheticFilm:
    return film_of(number, seed=11)


@cache
def segmented(number: int) -> Segmentation:
    return segment(film(number).pixels)


def oriented(array: Mask, flipped: bool) -> Mask:
    return array[:, ::-1] if flipped else array


def rotated(pixels: Mask, degrees: float) -> Mask:
    turn = cv2.getRotationMatrix2D((511.5, 511.5), degrees, 1)
    return np.asarray(cv2.warpAffine(pixels, turn, (1024, 1024)), np.uint8)


def framed(pixels: Mask, size: tuple[int, int], method: int) -> Mask:
    """The film resized to the height of a frame, whose width then cuts it or pads it on the right."""
    height, width = size
    resized = cv2.resize(pixels, (height, height), interpolation=method)[:, :width]
    padding = width - resized.shape[1]
    return np.asarray(cv2.copyMakeBorder(resized, 0, 0, 0, padding, cv2.BORDER_CONSTANT), np.uint8)


class TestSegment:
    @pytest.mark.parametrize("number", FILMS)
    def test_breast_and_parenchyma_agree_with_the_truth(self, number: int) -> None:
        result, truth = segmented(number), film(number)
        assert dice(result.breast, oriented(truth.breast, result.flipped)) > 0.97
        assert dice(result.mask, oriented(truth.parenchyma, result.flipped)) > 0.95

    @pytest.mark.parametrize("number", FILMS)
    def test_the_chest_wall_comes_to_the_left(self, number: int) -> None:
        right_breast = number % 2 == 1
        assert segmented(number).flipped is right_breast

    @pytest.mark.parametrize("number", FILMS)
    def test_lesions_stay_in_the_mask(self, number: int) -> None:
        result = segmented(number)
        for lesion in film(number).lesions:
            if lesion.x is not None and lesion.y is not None and lesion.radius is not None:
                circle = np.zeros_like(result.mask)
                cv2.circle(circle, (int(lesion.x), int(lesion.y)), int(lesion.radius), 255, cv2.FILLED)
                circle = oriented(circle & film(number).parenchyma, result.flipped)
                assert np.count_nonzero(circle & result.mask) > 0.97 * np.count_nonzero(circle)

    @pytest.mark.parametrize("number", FILMS)
    def test_label_scratch_and_border_are_out(self, number: int) -> None:
        result, truth = segmented(number), film(number)
        away = cv2.dilate(truth.breast, np.ones((41, 41), np.uint8)) == 0
        assert not (result.breast[oriented(away.astype(np.uint8), result.flipped) > 0]).any()

    def test_the_parts_of_a_segmentation_fit_together(self) -> None:
        result = segmented(3)
        assert set(np.unique(result.mask)) == set(np.unique(result.breast)) == {0, 255}
        assert not (result.mask & ~result.breast).any()
        np.testing.assert_array_equal(result.film, oriented(film(3).pixels, result.flipped) & result.mask)
        assert result.box == tuple(cv2.boundingRect(result.mask))

    @pytest.mark.parametrize(
        ("size", "bits", "drawn"), [(1024, 8, 512), (1024, 12, 512), (700, 8, 700), (2048, 8, 2048)]
    )
    def test_a_mask_that_was_drawn_at_half_the_size_is_doubled_when_it_is_asked_for(
        self, size: int, bits: int, drawn: int
    ) -> None:
        pixels = framed(film(5).pixels, (size, size), cv2.INTER_AREA)
        result = segment(pixels if bits == 8 else pixels.astype(np.uint16) << 4, bits)
        times = size // drawn
        assert result.drawn.shape == (drawn, drawn)
        np.testing.assert_array_equal(result.mask, result.drawn.repeat(times, axis=0).repeat(times, axis=1))
        assert result.breast.shape == result.mask.shape == (size, size)
        assert result.box == tuple(cv2.boundingRect(result.mask))
        if result.halved is not None:
            np.testing.assert_array_equal(result.halved, cv2.resize(pixels, (512, 512), interpolation=cv2.INTER_AREA))
        assert (result.halved is None) is not (bits == 8 and times == 2)

    def test_the_edge_of_an_outline_lies_between_its_pixels(self) -> None:
        """The pixels next to the breast say where between them it ends; without them a lesion at the edge is cut."""
        disc = cv2.circle(np.zeros((128, 128), np.uint8), (60, 64), 40, 255, cv2.FILLED)
        outline = np.asarray(cv2.GaussianBlur(disc, (7, 7), 1.5), np.uint8)
        speck = np.where(np.arange(128) > 124, 255, outline).astype(np.uint8)
        kept = around(speck, (outline > 127).astype(np.uint8))
        np.testing.assert_array_equal(enlarged(kept, (512, 512))[0], enlarged(outline, (512, 512))[0])

    def test_what_is_not_asked_for_is_not_worked_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The segment worker takes no gate and serving no blackened film; both are the same when they are taken."""
        asked = Mock(side_effect=judge)
        monkeypatch.setattr("shared.imaging.segmentation.segment.judge", asked)
        result = segment(film(3).pixels)
        assert not asked.called
        assert result.gate is result.gate
        assert asked.call_count == 1

    def test_a_mirrored_film_gives_the_same_oriented_result(self) -> None:
        mirrored = segment(np.ascontiguousarray(film(2).pixels[:, ::-1]))
        assert mirrored.flipped is not segmented(2).flipped
        assert dice(mirrored.mask, segmented(2).mask) > 0.995

    @pytest.mark.parametrize("number", FILMS)
    def test_a_brighter_or_shifted_film_gives_the_same_mask(self, number: int) -> None:
        pixels, mask = film(number).pixels, segmented(number).mask
        brighter = segment(np.asarray(cv2.convertScaleAbs(pixels, alpha=1.2), np.uint8))
        assert dice(brighter.mask, mask) > 0.98
        down = segment(np.roll(pixels, 16, axis=0))  # what leaves below comes in above, where a label may be
        assert dice(np.roll(down.mask, -16, axis=0), mask) > 0.98

    @pytest.mark.parametrize("degrees", [-30, -15, 15, 30])
    @pytest.mark.parametrize("number", [1, 2])
    def test_a_rotated_film_is_segmented_as_well(self, number: int, degrees: float) -> None:
        result, truth = segment(rotated(film(number).pixels, degrees)), film(number)
        assert result.flipped is segmented(number).flipped
        assert dice(result.breast, oriented(rotated(truth.breast, degrees), result.flipped)) > 0.95
        assert dice(result.mask, oriented(rotated(truth.parenchyma, degrees), result.flipped)) > 0.9

    @pytest.mark.parametrize("number", FILMS)
    def test_the_background_of_a_digital_film_is_zero(self, number: int) -> None:
        """Nothing there is darker than skin but 0, which on a scanned film is padding; its fat is dark."""
        breast = film(number).breast
        digital = np.where(breast > 0, (film(number).pixels / 255.0) ** 3 * 255 * 4, 0).clip(0, 255).astype(np.uint8)
        result = segment(digital)
        assert dice(result.breast, oriented(breast, result.flipped)) > 0.945

    @pytest.mark.parametrize(("size", "agreement"), [((512, 512), 0.95), ((700, 1400), 0.945), ((2048, 1600), 0.95)])
    def test_other_sizes_give_the_same_mask(self, size: tuple[int, int], agreement: float) -> None:
        """A film that is padded to twice its width is segmented at half the resolution."""
        result = segment(framed(film(4).pixels, size, cv2.INTER_AREA))
        assert result.mask.shape == size
        truth = framed(film(4).parenchyma, size, cv2.INTER_NEAREST)
        assert dice(result.mask, oriented(truth, result.flipped)) > agreement

    @pytest.mark.parametrize(
        "pixels",
        [
            np.zeros((1024, 1024), np.uint8),
            np.full((1024, 1024), 255, np.uint8),
            np.full((600, 800), 90, np.uint8),
            np.random.default_rng(1).integers(0, 256, (512, 512), np.uint8),
            np.random.default_rng(1).integers(0, 6, (512, 512), np.uint8),
            np.zeros((1, 1), np.uint8),
        ],
        ids=["blank", "saturated", "even", "noise", "dark noise", "one pixel"],
    )
    def test_a_frame_without_a_breast_is_refused(self, pixels: Mask) -> None:
        with pytest.raises(NotAMammogram, match="send one whole mammogram"):
            segment(pixels)

    def test_a_label_alone_is_no_breast(self) -> None:
        pixels = np.random.default_rng(1).integers(0, 4, (1024, 1024)).astype(np.uint8)
        pixels[40:150, 700:776] = 230
        with pytest.raises(NotAMammogram):
            segment(pixels)

    def test_masks_of_mias_agree_with_those_made_by_hand(self, mias: Path, mias_masks: Path) -> None:
        ids = sorted(path.stem for path in (mias_masks / "breast").glob("*.png"))[::5]
        breasts, parenchymas = [], []
        for name in ids:
            result = segment(grey(mias / "png" / f"{name}.png"))
            assert result.flipped is (int(name.removeprefix("mdb")) % 2 == 1)
            breasts.append(dice(result.breast, oriented(grey(mias_masks / "breast" / f"{name}.png"), result.flipped)))
            truth = oriented(grey(mias_masks / "parenchyma" / f"{name}.png"), result.flipped)
            parenchymas.append(dice(result.mask, truth))
        assert np.mean(breasts) > 0.985
        assert min(breasts) > 0.95
        assert np.mean(parenchymas) > 0.96

    def test_real_films_keep_their_mask_when_they_are_brighter_or_lie_elsewhere(self, mias: Path) -> None:
        for path in sorted((mias / "png").glob("mdb*.png"))[3::11]:
            pixels = grey(path)
            unchanged = found(pixels)[1]
            for name, (change, follow) in CHANGES.items():
                assert dice(found(change(pixels))[1], follow(unchanged)) >= 0.98, f"{path.stem} {name}"

    def test_real_lesions_stay_in_the_mask(self, mias: Path, mias_masks: Path) -> None:
        kept = []
        for row in parse_info((mias / "Info.txt").read_text()):
            mask = mias_masks / "breast" / f"{row.film}.png"
            if row.lesion and row.lesion.x and row.lesion.y and row.lesion.radius and mask.exists():
                result = segment(grey(mias / "png" / f"{row.film}.png"))
                circle = np.zeros_like(result.mask)
                cv2.circle(
                    circle, (int(row.lesion.x), int(1024 - row.lesion.y)), int(row.lesion.radius), 255, cv2.FILLED
                )
                inside = oriented(circle & grey(mask), result.flipped)
                kept.append(np.count_nonzero(inside & result.mask) / np.count_nonzero(inside))
        # All but that of mdb270, which lies over the pectoral muscle: hand-drawn parenchyma has two thirds of it.
        assert sum(share < 0.99 for share in kept) <= 1


def grey(path: Path) -> Mask:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)
