"""The type of all images: sizes that are refused, halving, depth, and words of every kind as unsigned ones."""

import numpy as np
import pytest

from shared.errors import ImageTooLarge, ImageTooSmall, UndecodableImage
from shared.imaging.image import (
    MIN_EDGE,
    Image,
    check_not_too_small,
    check_size,
    halved,
    halvings,
    to_8bit,
    unsigned,
    with_depth,
)


def image(height: int, width: int, bits: int = 8, reduction: int = 1) -> Image:
    dtype = np.uint8 if bits == 8 else np.uint16
    return Image(np.full((height, width), 2**bits - 1, dtype), bits, reduction=reduction)


class TestCheckSize:
    def test_the_largest_frame_passes_and_one_more_row_is_refused(self) -> None:
        check_size(10_000, 10_000)
        with pytest.raises(ImageTooLarge, match="10000 x 10001 pixels; send at most 100 million"):
            check_size(10_000, 10_001)

    def test_a_decoder_may_bear_less(self) -> None:
        with pytest.raises(ImageTooLarge, match="at most 2 million"):
            check_size(2000, 1001, most=2_000_000)

    @pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5)], ids=str)
    def test_an_empty_frame_is_refused(self, size: tuple[int, int]) -> None:
        with pytest.raises(UndecodableImage, match="send the file again"):
            check_size(*size)


class TestCheckNotTooSmall:
    def test_the_shorter_edge_counts(self) -> None:
        kept = image(MIN_EDGE, 900)
        assert check_not_too_small(kept, 224) is kept
        with pytest.raises(ImageTooSmall, match="900 x 199 pixels, too few for a mammogram; send one of 200 x 200"):
            check_not_too_small(image(MIN_EDGE - 1, 900), 224)

    def test_a_network_of_small_inputs_takes_smaller_images(self) -> None:
        assert check_not_too_small(image(64, 64), 64)

    def test_an_image_that_was_decoded_smaller_is_judged_by_its_own_frame(self) -> None:
        small = Image(np.zeros((150, 150), np.uint8), 8, reduction=2, frame=(300, 300))
        assert check_not_too_small(small, 224) is small


class TestHalvings:
    @pytest.mark.parametrize(
        ("size", "least", "times"),
        [((4096, 2048), 1024, 1), ((4096, 4096), 1024, 2), ((2047, 4096), 1024, 0), ((100_000, 100_000), 1, 5)],
    )
    def test_the_shorter_edge_keeps_enough_pixels(self, size: tuple[int, int], least: int, times: int) -> None:
        assert halvings(*size, least) == times

    def test_without_a_least_edge_nothing_is_halved(self) -> None:
        assert halvings(4096, 4096, None) == 0


class TestHalved:
    def test_pixels_are_means_and_the_frame_is_remembered(self) -> None:
        pixels = np.kron(np.array([[0, 4], [8, 255]], np.uint8), np.ones((2, 2), np.uint8))
        found = halved(Image(pixels, 8), 2)
        assert found.pixels.tolist() == [[0, 4], [8, 255]]
        assert (found.reduction, found.full_size) == (2, (4, 4))

    def test_it_keeps_16_bits(self) -> None:
        assert halved(image(8, 8, bits=12), 2).pixels.dtype == np.uint16

    def test_what_was_decoded_smaller_or_is_small_enough_stays(self) -> None:
        for kept in (image(8, 8, reduction=2), image(3, 3)):
            assert halved(kept, 2) is kept


class TestUnsigned:
    def test_signed_words_keep_their_bits(self) -> None:
        assert unsigned(np.array([[-1, 1]], np.int16)).tolist() == [[0xFFFF, 1]]
        assert unsigned(np.array([[-1, 1]], np.int8)).tolist() == [[0xFF, 1]]

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_words_are_in_the_order_of_the_machine(self, order: str) -> None:
        found = unsigned(np.array([[258]], f"{order}u2"))
        assert found.tolist() == [[258]]
        assert found.dtype == np.uint16
        assert found.dtype.isnative


class TestDepth:
    def test_a_container_of_16_bits_is_told_how_many_are_used(self) -> None:
        assert with_depth(image(2, 2, bits=16), 12).bits == 12

    @pytest.mark.parametrize(("bits", "known"), [(8, 12), (16, None), (16, 8)])
    def test_other_images_stay_as_they_are(self, bits: int, known: int | None) -> None:
        kept = image(2, 2, bits=bits)
        assert with_depth(kept, known) is kept

    @pytest.mark.parametrize("bits", [8, 10, 12, 16])
    def test_the_brightest_level_is_the_brightest_of_8_bits(self, bits: int) -> None:
        found = to_8bit(image(2, 2, bits=bits))
        assert found.dtype == np.uint8
        assert found.tolist() == [[255, 255], [255, 255]]

    def test_the_lowest_bits_are_dropped(self) -> None:
        assert to_8bit(Image(np.array([[0, 15, 16, 4095]], np.uint16), 12)).tolist() == [[0, 0, 1, 255]]
