"""DICOM: every transfer syntax gives its pixels, grey levels mean what the standard says, and hostile files are refused
without a word of what they hold."""

import struct
import tracemalloc
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from shared.datasets.synthetic import draw
from shared.errors import ImageError, ImageTooLarge, UndecodableImage, UnsupportedImage
from shared.imaging.decode import decode
from tests.unit.shared.imaging.dicoms import LOSSLESS, LOSSY, NATIVE, SECRET, Words, dicom, jpeg, table

FILM = cv2.resize(draw(2, seed=5).pixels, (120, 160), interpolation=cv2.INTER_AREA).astype(np.uint16) * 16
FILM[0], FILM[1, :60] = 0, 4095  # so that without a window the stored values are the grey levels
TWELVE = {"BitsStored": 12}
RAMP = (np.arange(4608) - 512).clip(0).astype(np.uint16).reshape(72, 64)
"""Every value of 12 bits, and a dark background."""


def seen(data: bytes) -> Words:
    return decode(data).pixels


@pytest.mark.parametrize(
    ("syntax", "pixels"),
    [
        *((syntax, FILM) for syntax in NATIVE),
        # bytes in big-endian words are refused, see below
        *((syntax, (FILM >> 4).astype(np.uint8)[:, :119]) for syntax in NATIVE if syntax != "big endian"),
    ],
)
def test_uncompressed_pixels_are_returned_as_they_are(syntax: str, pixels: Words) -> None:
    np.testing.assert_array_equal(seen(dicom(pixels, NATIVE[syntax])), pixels)


def test_bytes_in_big_endian_words_are_refused() -> None:
    with pytest.raises(UnsupportedImage, match="send it in a little-endian transfer syntax"):
        decode(dicom((FILM >> 4).astype(np.uint8), NATIVE["big endian"]))


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_frames_are_returned_as_they_are(name: str) -> None:
    syntax, encode = LOSSLESS[name]
    image = decode(dicom(FILM, syntax, encode(FILM), **TWELVE))
    np.testing.assert_array_equal(image.pixels, FILM)
    assert (image.format, image.bits, image.reduction, image.full_size) == ("DICOM", 12, 1, (120, 160))


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_frames_are_close(name: str) -> None:
    syntax, encode = LOSSY[name]
    pixels = (FILM >> 4).astype(np.uint8) if name == "JPEG baseline" else FILM
    bits = 8 if name == "JPEG baseline" else 12
    wide = {"WindowCenter": "2048", "WindowWidth": "4096"} if bits == 12 else {"WindowCenter": 128, "WindowWidth": 256}
    found = seen(dicom(pixels, syntax, encode(pixels), BitsStored=bits, **wide)) / (2**bits - 1)
    assert np.abs(found - pixels / (2**bits - 1)).mean() < 0.01


@pytest.mark.parametrize("name", ["JPEG 2000 lossless", "HTJ2K lossless", "JPEG baseline"])
def test_a_large_frame_is_decoded_smaller_where_that_is_enough(name: str) -> None:
    syntax, encode = {**LOSSLESS, **LOSSY}[name]
    pixels = np.asarray(cv2.GaussianBlur(cv2.resize(FILM, (480, 640)), (0, 0), 6), np.uint16)
    if name == "JPEG baseline":
        pixels = (pixels >> 4).astype(np.uint8)
    data = dicom(pixels, syntax, encode(pixels), BitsStored=8 if pixels.itemsize == 1 else 12)
    image = decode(data, least_edge=100)
    assert (image.reduction, image.full_size) == (4, (480, 640))
    assert image.pixels.shape == (160, 120)
    expected = cv2.resize(pixels, (120, 160), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(image.pixels - expected)[8:-8, 8:-8].mean() < 0.02 * pixels.max()
    assert decode(data, least_edge=481).reduction == 1


@pytest.mark.parametrize("name", ["JPEG 2000 lossless", "HTJ2K lossless", "JPEG baseline"])
@pytest.mark.parametrize("size", [(480, 641), (482, 643), (483, 645)])
def test_sizes_that_are_no_multiple_are_decoded_smaller_too(name: str, size: tuple[int, int]) -> None:
    syntax, encode = {**LOSSLESS, **LOSSY}[name]
    pixels = np.asarray(cv2.resize(FILM, size) // 16, np.uint8)
    if name != "JPEG baseline":
        pixels = pixels.astype(np.uint16)
    image = decode(dicom(pixels, syntax, encode(pixels)), least_edge=100)
    assert image.reduction >= 2
    assert image.pixels.shape == tuple(-(-edge // image.reduction) for edge in size[::-1])


def test_monochrome1_is_inverted() -> None:
    turned = dicom(4095 - FILM, PhotometricInterpretation="MONOCHROME1", **TWELVE)
    np.testing.assert_array_equal(seen(turned), FILM)


def test_signed_values_are_lifted_to_zero() -> None:
    values = FILM.astype(np.int16) - 2048
    np.testing.assert_array_equal(seen(dicom(values, BitsStored=12)), FILM)
    np.testing.assert_array_equal(seen(dicom(values, BitsStored=16)), FILM)


def test_bits_above_the_high_bit_are_not_looked_at() -> None:
    np.testing.assert_array_equal(seen(dicom(FILM | 0x8000, **TWELVE)), FILM)
    np.testing.assert_array_equal(seen(dicom(FILM << 4, BitsStored=12, HighBit=15)), FILM)


def test_a_negative_slope_turns_the_grey_levels() -> None:
    data = dicom(4095 - FILM, RescaleSlope="-1", RescaleIntercept="4095", **TWELVE)
    np.testing.assert_array_equal(seen(data), FILM)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("LINEAR", ((RAMP - (2000 - 0.5)) / (1000 - 1) + 0.5).clip(0, 1)),
        ("LINEAR_EXACT", ((RAMP - 2000.0) / 1000 + 0.5).clip(0, 1)),
        ("SIGMOID", 1 / (1 + np.exp(-4 * (RAMP - 2000.0) / 1000))),
    ],
)
def test_the_window_is_that_of_the_standard(function: str, expected: Words) -> None:
    data = dicom(RAMP, WindowCenter="2000", WindowWidth="1000", VOILUTFunction=function, **TWELVE)
    image = decode(data)
    assert image.bits == 10  # as many levels as the window is wide
    assert np.abs(image.pixels / (999 if function == "LINEAR" else 1000) - expected).max() < 1e-3


def test_the_window_is_in_units_of_the_rescaled_values_and_the_first_of_several_counts() -> None:
    data = dicom(
        RAMP,
        RescaleSlope="2",
        RescaleIntercept="-1000",
        WindowCenter=["3000", "1"],
        WindowWidth=["2000", "2"],
        VOILUTFunction="LINEAR_EXACT",
        **TWELVE,
    )
    assert np.abs(seen(data) / 1000 - ((RAMP * 2.0 - 4000) / 2000 + 0.5).clip(0, 1)).max() < 1e-3


def test_a_window_that_can_not_be_is_no_window() -> None:
    for width in ("0", "-5", ""):
        np.testing.assert_array_equal(seen(dicom(RAMP, WindowCenter="5", WindowWidth=width, **TWELVE)), RAMP)


def test_look_up_tables_of_modality_and_interest_are_followed() -> None:
    curve = (np.sqrt(np.arange(4096) / 4095) * 65535).astype(np.uint16)
    interest = dicom(RAMP, VOILUTSequence=Sequence([table(0, curve, 16)]), **TWELVE)
    np.testing.assert_array_equal(seen(interest), curve[RAMP])
    halves = (np.arange(3000) // 2).astype(np.uint16)
    modality = dicom(RAMP, ModalityLUTSequence=Sequence([table(100, halves, 16)]), **TWELVE)
    np.testing.assert_array_equal(seen(modality), halves[(RAMP.astype(int) - 100).clip(0, 2999)])
    signed = table(-2048, curve, 16, signed=True)
    below = dicom(RAMP.astype(np.int16) - 2048, VOILUTSequence=Sequence([signed]), **TWELVE)
    np.testing.assert_array_equal(seen(below), curve[RAMP])


def test_padding_is_black_and_does_not_stretch_the_levels() -> None:
    pixels = FILM.clip(1000, 3000)
    pixels[:10] = 4000
    image = decode(dicom(pixels, PixelPaddingValue=4000, PhotometricInterpretation="MONOCHROME1", **TWELVE))
    assert not image.pixels[:10].any()
    np.testing.assert_array_equal(image.pixels[10:], int(pixels[10:].max()) - pixels[10:])
    ranged = decode(dicom(pixels, PixelPaddingValue=3500, PixelPaddingRangeLimit=4095, **TWELVE))
    assert not ranged.pixels[:10].any()


def test_spacing_laterality_and_view_are_read() -> None:
    image = decode(dicom(FILM, ImagerPixelSpacing=["0.07", "0.08"], ImageLaterality="R", ViewPosition="MLO"))
    assert (image.spacing, image.laterality, image.view) == ((0.07, 0.08), "R", "MLO")
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "R-10242", "SRT", SECRET
    image = decode(dicom(FILM, PixelSpacing=["0.1", "0.1"], Laterality="L", ViewCodeSequence=Sequence([code])))
    assert (image.spacing, image.laterality, image.view) == ((0.1, 0.1), "L", "CC")
    image = decode(dicom(FILM, PixelSpacing=["0", "-1"], ImageLaterality="B", ViewPosition=SECRET[:16]))
    assert (image.spacing, image.laterality, image.view) == (None, None, None)


def j2k(pixels: Words) -> bytes:
    return LOSSLESS["JPEG 2000 lossless"][1](pixels)


REFUSED: dict[str, tuple[bytes, type[ImageError], str]] = {
    "frames": (dicom(FILM, NumberOfFrames=60), UnsupportedImage, "60 frames"),
    "colour": (dicom(FILM, SamplesPerPixel=3, PhotometricInterpretation="RGB"), UnsupportedImage, "grey"),
    "palette": (dicom(FILM, PhotometricInterpretation="PALETTE COLOR"), UnsupportedImage, "grey"),
    "no pixels": (dicom(FILM, PixelData=None), UnsupportedImage, "no image"),
    "32 bits": (dicom(FILM.astype(np.uint32)), UnsupportedImage, "32 bits"),
    "bits that disagree": (dicom(FILM, BitsStored=12, HighBit=20), UndecodableImage, "disagree"),
    "too few pixels": (dicom(FILM, Rows=161), UndecodableImage, "bytes of pixels"),
    "too many pixels": (dicom(FILM, Rows=100), UndecodableImage, "bytes of pixels"),
    "size of a frame": (dicom(FILM, uid.JPEG2000Lossless, j2k(FILM), Columns=121), UndecodableImage, "121 x 160"),
    "other codec": (dicom(FILM, uid.JPEGLSLossless, jpeg(FILM, lossless=True)), UndecodableImage, "JPEG-LS"),
    "slope": (dicom(FILM, RescaleSlope="0"), UndecodableImage, "slope"),
    "empty": (dicom(FILM, Rows=0), UndecodableImage, "0"),
    "huge": (dicom(FILM, Rows=60000, Columns=60000), ImageTooLarge, "60000 x 60000"),
    "huge frame": (dicom(FILM, uid.RLELossless, bytes(64), Rows=60000, Columns=60000), ImageTooLarge, "60000"),
    "syntax": (dicom(FILM, uid.MPEG2MPML, bytes(64)), UnsupportedImage, "transfer syntax"),
    "only a preamble": (bytes(128) + b"DICM", ImageError, "DICOM"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_one_grey_film_is_refused_in_one_line(name: str) -> None:
    data, kind, part = REFUSED[name]
    with pytest.raises(kind, match=part) as refusal:
        decode(data)
    said = str(refusal.value)
    assert "\n" not in said
    assert "; send" in said
    assert "SECRET" not in said


def test_a_huge_header_is_refused_before_memory_is_taken() -> None:
    tracemalloc.start()
    with pytest.raises(ImageTooLarge):
        decode(REFUSED["huge"][0])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_a_deflated_file_that_inflates_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.imaging.dicom.MAX_INFLATED", 30_000)
    with pytest.raises(ImageTooLarge, match="inflates"):
        decode(dicom(FILM, uid.DeflatedExplicitVRLittleEndian))


FILES = {
    **{name: dicom(FILM, syntax) for name, syntax in NATIVE.items()},
    **{name: dicom(FILM, syntax, encode(FILM), **TWELVE) for name, (syntax, encode) in LOSSLESS.items()},
    "tables": dicom(RAMP, VOILUTSequence=Sequence([table(0, RAMP.ravel(), 12)]), WindowCenter="5", WindowWidth="3"),
}


def said_of(data: bytes) -> str:
    """All that can be learnt of a file besides its pixels, or from its refusal."""
    try:
        return repr(decode(data, least_edge=64))
    except ImageError as error:
        shown = None if error.__suppress_context__ else error.__context__
        return f"{error} {error.__cause__} {shown}"


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_a_file_cut_anywhere_is_refused_or_read(name: str, data: st.DataObject) -> None:
    assert "SECRET" not in said_of(FILES[name][: data.draw(st.integers(0, len(FILES[name]) - 1))])


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_damage_anywhere_is_refused_or_read_and_quotes_nothing(name: str, data: st.DataObject) -> None:
    file = bytearray(FILES[name])
    for position in data.draw(st.lists(st.integers(128, min(len(file), 1200) - 1), min_size=1, max_size=4)):
        file[position] = data.draw(st.integers(0, 255))
    assert "SECRET" not in said_of(bytes(file))


def test_elements_without_end_are_refused() -> None:
    element = struct.pack("<HHIHHI", 0x0009, 0x1001, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
    head, _, tail = dicom(FILM, uid.ImplicitVRLittleEndian).partition(b"\x28\x00\x02\x00")
    with pytest.raises(ImageError):
        decode(head + element * 30_000 + b"\x28\x00\x02\x00" + tail)


def test_the_real_film_is_the_same_in_every_syntax(dicom_films: Path) -> None:
    film = decode((dicom_films / "fodicom_GH133.dcm").read_bytes())
    assert (film.full_size, film.laterality, film.view) == ((2394, 3062), "R", "MLO")
    for name in ("J2Klossless", "JPEGLS", "RLE"):
        np.testing.assert_array_equal(seen((dicom_films / f"derived_GH133_{name}.dcm").read_bytes()), film.pixels)


def test_the_real_film_is_the_same_in_inverted_polarity(dicom_films: Path) -> None:
    """Its window and padding were copied from the original and mean other values there: both are compared without."""
    found = []
    for name in ("fodicom_GH133", "derived_GH133_MONOCHROME1_RLE"):
        data = pydicom.dcmread(dicom_films / f"{name}.dcm")
        for keyword in ("WindowCenter", "WindowWidth", "VOILUTSequence", "PixelPaddingValue"):
            data.pop(keyword, None)
        found.append(seen(_written(data)))
    np.testing.assert_array_equal(*found)


def test_the_text_card_is_decoded(dicom_films: Path) -> None:
    assert decode((dicom_films / "clunie_MG_pixelspacing_8bit.dcm").read_bytes()).pixels.shape == (512, 512)


def _written(data: Any) -> bytes:
    file = BytesIO()
    data.save_as(file)
    return file.getvalue()
