"""The network's input, and that training and serving see the same one."""

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from shared.errors import NotAMammogram, UnsupportedImage
from shared.imaging.formats.decode import decode, encode_pgm, encode_png
from shared.imaging.image import Image
from shared.imaging.preprocess import Preprocessing, network_input, prepare, prepare_image
from tests.support.films import film_of


class TestPrepareImage:
    @pytest.mark.parametrize("size", [60, 96, 224, 400])
    @pytest.mark.parametrize("mirrored", [False, True])
    def test_a_film_that_was_halved_already_gives_the_same_input(self, size: int, mirrored: bool) -> None:
        """Serving halves a film once, for the breast and for the input; training comes from the whole one."""
        pixels = film_of(4, seed=5).pixels
        pixels = np.ascontiguousarray(pixels[:, ::-1]) if mirrored else pixels
        served = prepare_image(Image(pixels, 8), Preprocessing(size=size))
        whole = served.segmentation
        assert whole.halved is not None
        np.testing.assert_array_equal(network_input(whole.film, whole.mask, Preprocessing(size=size)), served.input)

    @pytest.mark.parametrize("view", ["CC", "MLO"])
    def test_the_view_that_is_known_of_a_film_decides_whether_muscle_is_cut(self, view: str) -> None:
        image = Image(film_of(1, seed=5).pixels, 8, view=view)
        found = prepare_image(image, Preprocessing(size=96)).segmentation
        assert (found.view.name, found.view.source) == (view, "file")
        assert ((found.breast > 0) & (found.mask == 0)).mean() < 0.002 if view == "CC" else found.view.shows_muscle

    def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(self) -> None:
        large = cv2.resize(film_of(2, seed=5).pixels, (2400, 2400), interpolation=cv2.INTER_CUBIC)
        data = cv2.imencode(".jpg", large, (cv2.IMWRITE_JPEG_QUALITY, 98))[1].tobytes()
        preprocessing = Preprocessing(size=96)
        assert decode(data, preprocessing.least_edge).reduction == 2
        whole = prepare_image(decode(data), preprocessing).input
        assert np.abs(prepare(data, preprocessing).input - whole).mean() < 0.01


class TestNetworkInput:
    def test_the_aspect_ratio_is_kept_and_the_chest_wall_lies_at_the_left_edge(self) -> None:
        mask = np.zeros((300, 400), np.uint8)
        mask[50:250, 120:220] = 255
        film = np.where(mask > 0, np.arange(400)[None] // 2, 0).astype(np.uint8)
        seen = network_input(film, mask, Preprocessing(size=100))[0] > 0
        assert not seen[:, 51:].any()
        assert seen[:, 2:49].all()

    def test_exposure_makes_no_difference(self) -> None:
        mask = np.full((64, 64), 255, np.uint8)
        film = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
        faint = network_input(film, mask, Preprocessing(size=64))
        strong = network_input(film * 3 + 40, mask, Preprocessing(size=64))
        np.testing.assert_allclose(faint, strong, atol=1e-6)

    def test_a_bright_speck_does_not_darken_the_rest(self) -> None:
        mask = np.full((64, 64), 255, np.uint8)
        film = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
        speck = film.copy()
        speck[10, 10] = 255
        clean = network_input(film, mask, Preprocessing(size=64))
        spotted = network_input(speck, mask, Preprocessing(size=64))
        assert np.count_nonzero(clean != spotted) == 1

    def test_outside_the_mask_is_black(self) -> None:
        mask = np.zeros((128, 128), np.uint8)
        cv2.circle(mask, (64, 64), 60, 255, cv2.FILLED)
        seen = network_input(np.full((128, 128), 200, np.uint8), mask, Preprocessing(size=121))
        assert not seen[0, :10, :10].any()

    def test_a_pixel_of_a_halved_film_that_the_mask_covers_in_part_is_outside_it(self) -> None:
        """Beyond the mask a film of the data set is black, and one that is served is not: both must look the same."""
        mask = np.zeros((256, 256), np.uint8)
        cv2.circle(mask, (101, 128), 99, 255, cv2.FILLED)
        film = np.random.default_rng(1).integers(1, 255, mask.shape, np.uint8)
        black = np.where(mask > 0, film, 0).astype(np.uint8)
        preprocessing = Preprocessing(size=50)
        np.testing.assert_array_equal(
            network_input(black, mask, preprocessing), network_input(film, mask, preprocessing)
        )

    def test_an_even_film_and_an_empty_mask(self) -> None:
        even = np.full((32, 32), 7, np.uint8)
        assert np.isfinite(network_input(even, np.full_like(even, 255), Preprocessing(size=16))).all()
        with pytest.raises(NotAMammogram):
            network_input(even, np.zeros_like(even), Preprocessing(size=16))


class TestPrepare:
    @pytest.mark.parametrize("number", [1, 2, 3])
    @pytest.mark.parametrize("size", [96, 224])
    @pytest.mark.parametrize("bits", [8, 12])
    def test_training_and_serving_see_the_same_pixels(self, number: int, size: int, bits: int) -> None:
        preprocessing, pixels = Preprocessing(size=size), film_of(number, seed=5).pixels
        served = prepare(encode_png(pixels if bits == 8 else pixels.astype(np.uint16) * 16 + 5), preprocessing)
        stored = (encode_png(served.segmentation.film), encode_png(served.segmentation.mask))
        film, mask = (decode(file).pixels for file in stored)
        np.testing.assert_array_equal(network_input(film, np.asarray(mask, np.uint8), preprocessing), served.input)

    def test_the_input_is_one_square_channel_from_0_to_1(self) -> None:
        prepared = prepare(encode_png(film_of(2, seed=5).pixels), Preprocessing(size=96))
        assert prepared.input.shape == (1, 96, 96)
        assert prepared.input.dtype == np.float32
        assert prepared.input.min() == 0
        assert 0.8 < prepared.input.max() <= 1
        assert prepared.bits == 8

    def test_the_same_film_at_12_bits_looks_the_same(self) -> None:
        pixels = film_of(2, seed=5).pixels
        shallow = prepare(encode_pgm(pixels), Preprocessing(size=96))
        deep = prepare(encode_png(pixels.astype(np.uint16) * 16 + 15), Preprocessing(size=96))
        assert deep.bits == 12 or pixels.max() < 128
        np.testing.assert_allclose(
            deep.input, shallow.input, atol=0.006
        )  # a film of 8 bits is halved to whole grey levels

    def test_a_film_keeps_its_depth_up_to_the_normalisation(self) -> None:
        """Its tissue takes up a 16th of the grey levels: 16 of 8 bits, and 256 of the 12 that it has."""
        ramp = np.tile(np.linspace(1024, 1279, 512).astype(np.uint16), (512, 1))
        mask = np.full((512, 512), 255, np.uint8)
        preprocessing = Preprocessing(size=400)
        assert len(np.unique(network_input(ramp, mask, preprocessing))) > 200
        assert len(np.unique(network_input((ramp >> 4).astype(np.uint8), mask, preprocessing))) < 64
        deep = film_of(2, seed=5).pixels.astype(np.uint16) * 16 + 7
        prepared = prepare(encode_png(deep), preprocessing)
        assert prepared.segmentation.film.dtype == np.uint16
        assert set(np.unique(prepared.segmentation.film)) <= {0, *np.unique(deep)}

    def test_what_is_no_image_is_refused(self) -> None:
        with pytest.raises(UnsupportedImage):
            prepare(b"no image", Preprocessing(size=96))


class TestPreprocessing:
    def test_what_mias_has_is_worked_on_as_it_is(self) -> None:
        assert all(Preprocessing(size=size).least_edge >= 1024 for size in (64, 224, 512, 1024))

    def test_a_card_with_unknown_fields_or_no_size_is_refused(self) -> None:
        for fields in ({}, {"size": 0}, {"size": 96, "contrast": 2}):
            with pytest.raises(ValidationError):
                Preprocessing.model_validate(fields)
