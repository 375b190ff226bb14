"""Depth: what a container, a window, a table or an outlier adds to a film changes nothing of what a network sees."""

from typing import Any

import cv2
import numpy as np
import pytest
from pydicom.sequence import Sequence

from shared.imaging.formats.decode import decode, encode_pgm, encode_png
from shared.imaging.formats.depth import depth_of, within_depth
from shared.imaging.image import Pixels
from shared.imaging.preprocess import Preprocessing, prepare
from tests.support.dicoms import dicom, table
from tests.support.films import film_of

FILM = np.ascontiguousarray(film_of(2, seed=5).pixels[:, ::-1]).astype(np.uint16) * 16
"""12 bits; its darkest level is a background of 0, as in most digital films."""
DARK = np.percentile(FILM, 5)
FILM[FILM < DARK] = 0
SMALL = Preprocessing(size=128)


def corner(film: Pixels, size: int, level: int) -> Pixels:
    """The film with a square of one level in a corner, beyond the breast."""
    marked = film.copy()
    marked[4 : 4 + size, 4 : 4 + size] = level
    return marked


VARIETIES: dict[str, bytes] = {
    "PGM declared 16 bits": encode_pgm(FILM),
    "PNG with a bright pixel": encode_png(corner(FILM, 1, 65535)),
    "PGM with a bright pixel": encode_pgm(corner(FILM, 1, 40000)),
    "DICOM": dicom(FILM, BitsStored=12),
    "DICOM of 16 bits with a bright pixel": dicom(corner(FILM, 1, 65535)),
    "DICOM inverted": dicom(4095 - FILM, BitsStored=12, PhotometricInterpretation="MONOCHROME1"),
    "DICOM inverted with a bright pixel": dicom(
        65535 - corner(FILM, 1, 65535), PhotometricInterpretation="MONOCHROME1"
    ),
    "DICOM in a wide window": dicom(FILM, BitsStored=14, WindowCenter="8192", WindowWidth="16384"),
    "DICOM inverted in a wide window": dicom(
        4095 - FILM,
        BitsStored=12,
        WindowCenter="8192",
        WindowWidth="16384",
        PhotometricInterpretation="MONOCHROME1",
    ),
    "DICOM with a table declared 16 bits": dicom(
        FILM, BitsStored=12, VOILUTSequence=Sequence([table(0, np.arange(4096, dtype=np.uint16), 16)])
    ),
}


def histogram(*shares: tuple[int, float]) -> Any:
    counts = np.zeros(65536)
    for level, share in shares:
        counts[level] += share
    return counts


class TestDepth:
    @pytest.mark.parametrize("name", VARIETIES)
    def test_a_network_sees_the_same_film_whatever_its_file_declares(self, name: str) -> None:
        plain, found = prepare(encode_png(FILM), SMALL), prepare(VARIETIES[name], SMALL)
        assert (found.bits, found.gate.passed) == (12, plain.gate.passed)
        np.testing.assert_array_equal(found.input, plain.input)

    @pytest.mark.parametrize("level", [4095, 65535])
    def test_a_label_changes_nothing_of_what_a_network_sees(self, level: int) -> None:
        plain, labelled = prepare(encode_png(FILM), SMALL), prepare(encode_png(corner(FILM, 30, level)), SMALL)
        assert labelled.bits == 12
        assert np.abs(labelled.input - plain.input).max() < 0.01

    def test_the_depth_is_that_of_the_film(self) -> None:
        assert depth_of(histogram((0, 0.5), (3000, 0.5))) == 12
        assert depth_of(histogram((0, 0.5), (200, 0.5))) == 8
        assert depth_of(histogram((0, 0.5), (3000, 0.49), (65535, 0.01))) == 12
        assert depth_of(histogram((0, 0.5), (3000, 0.4), (65535, 0.1))) == 16  # too much for a label
        assert depth_of(histogram((0, 0.5), (3000, 0.499), (4100, 0.001))) == 13  # too near for one
        assert depth_of(np.zeros(65536)) == 8

    def test_only_outliers_are_clipped(self) -> None:
        film = np.tile(np.arange(4000, dtype=np.uint16), (50, 1))
        same, bits = within_depth(film)
        assert bits == 12
        assert same is film
        film[0, 0] = 60000
        clipped, bits = within_depth(film)
        assert (int(clipped[0, 0]), bits) == (4095, 12)
        np.testing.assert_array_equal(clipped[1:], film[1:])

    def test_a_large_film_is_measured_by_a_sample(self) -> None:
        small = cv2.resize(FILM, (300, 300), interpolation=cv2.INTER_NEAREST)
        large = cv2.resize(small, (3000, 3000), interpolation=cv2.INTER_NEAREST)
        assert within_depth(large)[1] == within_depth(small)[1] == 12

    def test_a_film_of_8_bits_stays_as_it_is(self) -> None:
        eight = (FILM >> 4).astype(np.uint8)
        for data in (encode_png(eight), encode_pgm(eight)):
            image = decode(data)
            assert image.bits == 8
            np.testing.assert_array_equal(image.pixels, eight)
