"""DICOM: every transfer syntax gives its pixels, grey levels mean what the standard says, and hostile files are refused
without a word of what they hold."""

import struct
import tracemalloc
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from shared.errors import ImageError, ImageTooLarge, UndecodableImage, UnsupportedImage
from shared.imaging.formats.decode import decode
from shared.imaging.image import WindowPreset
from tests.support.dicoms import LOSSLESS, LOSSY, NATIVE, SECRET, Words, dicom, jpeg, table
from tests.support.films import film_of

FILM = cv2.resize(film_of(2, seed=5).pixels, (240, 320), interpolation=cv2.INTER_AREA).astype(np.uint16) * 16
FILM[0], FILM[1, :120] = 0, 4095  # so that without a window the stored values are the grey levels
TWELVE = {"BitsStored": 12}
RAMP = (np.arange(4608) - 512).clip(0).astype(np.uint16).reshape(72, 64).repeat(3, axis=0).repeat(4, axis=1)
"""Every value of 12 bits, and a dark background."""


def seen(data: bytes) -> Words:
    return decode(data).pixels


def j2k(pixels: Words) -> bytes:
    return LOSSLESS["JPEG 2000 lossless"][1](pixels)


REFUSED: dict[str, tuple[bytes, type[ImageError], str]] = {
    "frames": (dicom(FILM, NumberOfFrames=60), UnsupportedImage, "60 frames"),
    "colour": (dicom(FILM, SamplesPerPixel=3, PhotometricInterpretation="RGB"), UnsupportedImage, "grey"),
    "palette": (dicom(FILM, PhotometricInterpretation="PALETTE COLOR"), UnsupportedImage, "grey"),
    "no pixels": (dicom(FILM, PixelData=None), UnsupportedImage, "no image"),
    "32 bits": (dicom(FILM.astype(np.uint32)), UnsupportedImage, "32 bits"),
    "bits that disagree": (dicom(FILM, BitsStored=12, HighBit=20), UndecodableImage, "disagree"),
    "too few pixels": (dicom(FILM, Rows=321), UndecodableImage, "bytes of pixels"),
    "too many pixels": (dicom(FILM, Rows=310), UndecodableImage, "bytes of pixels"),
    "size of a frame": (dicom(FILM, uid.JPEG2000Lossless, j2k(FILM), Columns=241), UndecodableImage, "241 x 320"),
    "other codec": (dicom(FILM, uid.JPEGLSLossless, jpeg(FILM, lossless=True)), UndecodableImage, "JPEG-LS"),
    "slope": (dicom(FILM, RescaleSlope="0"), UndecodableImage, "slope"),
    "empty": (dicom(FILM, Rows=0), UndecodableImage, "0"),
    "huge": (dicom(FILM, Rows=60000, Columns=60000), ImageTooLarge, "60000 x 60000"),
    "huge frame": (dicom(FILM, uid.RLELossless, bytes(64), Rows=60000, Columns=60000), ImageTooLarge, "60000"),
    "syntax": (dicom(FILM, uid.MPEG2MPML, bytes(64)), UnsupportedImage, "transfer syntax"),
    "only a preamble": (bytes(128) + b"DICM", ImageError, "DICOM"),
}


def implicit(*elements: tuple[int, bytes]) -> bytes:
    """Elements of an implicit data set."""
    return b"".join(struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value for tag, value in elements)


def explicit(tag: int, kind: bytes, value: bytes) -> bytes:
    length = struct.pack("<HI", 0, len(value)) if kind in {b"OB", b"OV", b"OW"} else struct.pack("<H", len(value))
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF) + kind + length + value


PIXELS = b"\xe0\x7f\x10\x00"
"""How the element of the pixels begins."""


TRANSFER_SYNTAX = b"\x02\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0"


def in_front_of_the_pixels(data: bytes, element: bytes) -> bytes:
    head, found, tail = data.rpartition(PIXELS)
    assert found
    return head + element + found + tail


def odd(tag: int, value: str, **elements: Any) -> bytes:
    """A film with an element of decimal strings as it stands in no valid file."""
    data = dicom(RAMP, **TWELVE, **elements)
    group = explicit(tag, b"DS", value.encode())
    at = data.find(b"\x28\x00\x00\x30") if tag > 0x00283000 else data.rfind(PIXELS)
    return data[:at] + group + data[at:]


def bare(data: bytes) -> bytes:
    """The data set alone, without preamble and file meta information."""
    return data[144 + int.from_bytes(data[140:144], "little") :]


PECULIAR: dict[str, tuple[bytes, str]] = {
    "group length": (in_front_of_the_pixels(dicom(RAMP, **TWELVE), explicit(0x7FE00000, b"UL", bytes(4))), ""),
    "group length, implicit": (
        in_front_of_the_pixels(dicom(RAMP, NATIVE["implicit"], **TWELVE), implicit((0x7FE00000, bytes(4)))),
        "",
    ),
    "extended offset table": (
        in_front_of_the_pixels(
            dicom(RAMP, uid.JPEG2000Lossless, LOSSLESS["JPEG 2000 lossless"][1](RAMP), **TWELVE),
            explicit(0x7FE00001, b"OV", bytes(8)) + explicit(0x7FE00002, b"OV", bytes(8)),
        ),
        "",
    ),
    "spare bytes": (
        dicom(RAMP, PixelData=RAMP.tobytes() + bytes(6), **TWELVE),
        "extra bytes after the pixels: 6.",
    ),
    "empty padding": (dicom(RAMP, PixelPaddingValue="", **TWELVE), "PixelPaddingValue (0028,0120)"),
    "one value of spacing": (dicom(RAMP, PixelSpacing="0.1", **TWELVE), "PixelSpacing (0028,0030)"),
    "spacing of 0": (dicom(RAMP, PixelSpacing=["0", "0"], **TWELVE), "PixelSpacing (0028,0030)"),
    "empty table": (dicom(RAMP, VOILUTSequence=Sequence([Dataset()]), **TWELVE), "VOILUTSequence (0028,3010)"),
    "no table": (dicom(RAMP, VOILUTSequence=Sequence(), **TWELVE), ""),
    "empty slope": (odd(0x00281053, ""), "RescaleSlope (0028,1053)"),
    "blank intercept": (odd(0x00281052, "  "), "RescaleIntercept (0028,1052)"),
    "empty modality table": (
        dicom(RAMP, ModalityLUTSequence=Sequence([Dataset()]), **TWELVE),
        "ModalityLUTSequence (0028,3000)",
    ),
    "polarity in small letters": (dicom(RAMP, PhotometricInterpretation="monochrome2", **TWELVE), ""),
    "no transfer syntax": (
        dicom(RAMP, **TWELVE).replace(TRANSFER_SYNTAX, b"\x02\0\x10\0UI\0\0"),
        "transfer syntax",
    ),
    "offset table that points elsewhere": (
        dicom(RAMP, uid.JPEGLSLossless, LOSSLESS["JPEG-LS"][1](RAMP), **TWELVE).replace(
            PIXELS + b"OB\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\x04\0\0\0\0\0\0\0",
            PIXELS + b"OB\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\x04\0\0\0\x08\0\0\0",
        ),
        "",
    ),
    "no bytes in front of its mark": (dicom(RAMP, **TWELVE)[128:], "preamble"),
    "comma in a window": (
        odd(0x00281051, "4096,5 ", WindowCenter="2048"),
        "WindowWidth (0028,1051)",
    ),
    "window without width": (dicom(RAMP, WindowCenter="5", WindowWidth="", **TWELVE), "WindowWidth (0028,1051)"),
    "no preamble": (dicom(RAMP, **TWELVE)[132:], "preamble"),
    "no preamble nor meta, implicit": (bare(dicom(RAMP, NATIVE["implicit"], **TWELVE)), "transfer syntax"),
    "no preamble nor meta, explicit": (bare(dicom(RAMP, NATIVE["explicit"], **TWELVE)), "transfer syntax"),
    "wide window": (dicom(RAMP, WindowCenter="8192", WindowWidth="16384", **TWELVE), ""),
    "window from below": (dicom(RAMP, WindowCenter="2048", WindowWidth="16384", **TWELVE), ""),
    "identity declared 16 bits": (dicom(RAMP, VOILUTSequence=Sequence([table(0, np.arange(4096), 16)]), **TWELVE), ""),
    "one entry short": (
        dicom(RAMP, VOILUTSequence=Sequence([table(0, np.arange(4096), 16, entries=4097)]), **TWELVE),
        "lacks its last entry",
    ),
    "12 bits in words of 16": (dicom(RAMP, BitsStored=16), ""),
}


def _of_syntax(data: bytes, syntax: str) -> bytes:
    """The same data set behind another transfer syntax."""
    return dicom(RAMP, syntax, PixelData=None)[
        : len(dicom(RAMP, syntax, PixelData=None)) - len(bare(dicom(RAMP, syntax, PixelData=None)))
    ] + bare(data)


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


class TestReadDicom:
    @pytest.mark.parametrize(
        ("syntax", "pixels"),
        [
            *((syntax, FILM) for syntax in NATIVE),
            # bytes in big-endian words are refused, see below
            *((syntax, (FILM >> 4).astype(np.uint8)[:, :239]) for syntax in NATIVE if syntax != "big endian"),
        ],
    )
    def test_uncompressed_pixels_are_returned_as_they_are(self, syntax: str, pixels: Words) -> None:
        np.testing.assert_array_equal(seen(dicom(pixels, NATIVE[syntax])), pixels)

    def test_bytes_in_big_endian_words_are_refused(self) -> None:
        with pytest.raises(UnsupportedImage, match="send it in a little-endian transfer syntax"):
            decode(dicom((FILM >> 4).astype(np.uint8), NATIVE["big endian"]))

    @pytest.mark.parametrize("name", LOSSLESS)
    def test_lossless_frames_are_returned_as_they_are(self, name: str) -> None:
        syntax, encode = LOSSLESS[name]
        image = decode(dicom(FILM, syntax, encode(FILM), **TWELVE))
        np.testing.assert_array_equal(image.pixels, FILM)
        assert (image.format, image.bits, image.reduction, image.full_size) == ("DICOM", 12, 1, (240, 320))

    @pytest.mark.parametrize("name", LOSSY)
    def test_lossy_frames_are_close(self, name: str) -> None:
        syntax, encode = LOSSY[name]
        pixels = (FILM >> 4).astype(np.uint8) if name == "JPEG baseline" else FILM
        bits = 8 if name == "JPEG baseline" else 12
        wide = (
            {"WindowCenter": "2048", "WindowWidth": "4096"} if bits == 12 else {"WindowCenter": 128, "WindowWidth": 256}
        )
        found = seen(dicom(pixels, syntax, encode(pixels), BitsStored=bits, **wide)) / (2**bits - 1)
        assert np.abs(found - pixels / (2**bits - 1)).mean() < 0.012

    @pytest.mark.parametrize("name", ["JPEG 2000 lossless", "HTJ2K lossless", "JPEG baseline"])
    def test_a_large_frame_is_decoded_smaller_where_that_is_enough(self, name: str) -> None:
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
    def test_sizes_that_are_no_multiple_are_decoded_smaller_too(self, name: str, size: tuple[int, int]) -> None:
        syntax, encode = {**LOSSLESS, **LOSSY}[name]
        pixels = np.asarray(cv2.resize(FILM, size) // 16, np.uint8)
        if name != "JPEG baseline":
            pixels = pixels.astype(np.uint16)
        image = decode(dicom(pixels, syntax, encode(pixels)), least_edge=100)
        assert image.reduction >= 2
        assert image.pixels.shape == tuple(-(-edge // image.reduction) for edge in size[::-1])

    def test_monochrome1_is_inverted(self) -> None:
        turned = dicom(4095 - FILM, PhotometricInterpretation="MONOCHROME1", **TWELVE)
        np.testing.assert_array_equal(seen(turned), FILM)

    def test_signed_values_are_lifted_to_zero(self) -> None:
        values = FILM.astype(np.int16) - 2048
        np.testing.assert_array_equal(seen(dicom(values, BitsStored=12)), FILM)
        np.testing.assert_array_equal(seen(dicom(values, BitsStored=16)), FILM)

    def test_bits_above_the_high_bit_are_not_looked_at(self) -> None:
        np.testing.assert_array_equal(seen(dicom(FILM | 0x8000, **TWELVE)), FILM)
        np.testing.assert_array_equal(seen(dicom(FILM << 4, BitsStored=12, HighBit=15)), FILM)

    def test_a_negative_slope_turns_the_grey_levels(self) -> None:
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
    def test_the_window_is_that_of_the_standard(self, function: str, expected: Words) -> None:
        data = dicom(RAMP, WindowCenter="2000", WindowWidth="1000", VOILUTFunction=function, **TWELVE)
        image = decode(data)
        assert image.bits == 10  # as many levels as the window is wide
        assert np.abs(image.pixels / (999 if function == "LINEAR" else 1000) - expected).max() < 1e-3

    def test_the_window_is_in_units_of_the_rescaled_values_and_the_first_of_several_counts(self) -> None:
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

    def test_a_window_that_can_not_be_is_no_window(self) -> None:
        for width in ("0", "-5", ""):
            np.testing.assert_array_equal(seen(dicom(RAMP, WindowCenter="5", WindowWidth=width, **TWELVE)), RAMP)

    def test_look_up_tables_of_modality_and_interest_are_followed(self) -> None:
        curve = (np.sqrt(np.arange(4096) / 4095) * 65535).astype(np.uint16)
        interest = dicom(RAMP, VOILUTSequence=Sequence([table(0, curve, 16)]), **TWELVE)
        np.testing.assert_array_equal(seen(interest), curve[RAMP])
        halves = (np.arange(3000) // 2).astype(np.uint16)
        modality = dicom(RAMP, ModalityLUTSequence=Sequence([table(100, halves, 16)]), **TWELVE)
        np.testing.assert_array_equal(seen(modality), halves[(RAMP.astype(int) - 100).clip(0, 2999)])
        signed = table(-2048, curve, 16, signed=True)
        below = dicom(RAMP.astype(np.int16) - 2048, VOILUTSequence=Sequence([signed]), **TWELVE)
        np.testing.assert_array_equal(seen(below), curve[RAMP])

    def test_padding_is_black_and_does_not_stretch_the_levels(self) -> None:
        pixels = FILM.clip(1000, 3000)
        pixels[:10] = 4000
        image = decode(dicom(pixels, PixelPaddingValue=4000, PhotometricInterpretation="MONOCHROME1", **TWELVE))
        assert not image.pixels[:10].any()
        np.testing.assert_array_equal(image.pixels[10:], int(pixels[10:].max()) - pixels[10:])
        ranged = decode(dicom(pixels, PixelPaddingValue=3500, PixelPaddingRangeLimit=4095, **TWELVE))
        assert not ranged.pixels[:10].any()

    def test_spacing_laterality_and_view_are_read(self) -> None:
        image = decode(dicom(FILM, ImagerPixelSpacing=["0.07", "0.08"], ImageLaterality="R", ViewPosition="MLO"))
        assert (image.spacing, image.laterality, image.view) == ((0.07, 0.08), "R", "MLO")
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "R-10242", "SRT", SECRET
        image = decode(dicom(FILM, PixelSpacing=["0.1", "0.1"], Laterality="L", ViewCodeSequence=Sequence([code])))
        assert (image.spacing, image.laterality, image.view) == ((0.1, 0.1), "L", "CC")
        image = decode(dicom(FILM, PixelSpacing=["0", "-1"], ImageLaterality="B", ViewPosition=SECRET[:16]))
        assert (image.spacing, image.laterality, image.view) == (None, None, None)

    @pytest.mark.parametrize("name", REFUSED)
    def test_what_is_not_one_grey_film_is_refused_in_one_line(self, name: str) -> None:
        data, kind, part = REFUSED[name]
        with pytest.raises(kind, match=part) as refusal:
            decode(data)
        said = str(refusal.value)
        assert "\n" not in said
        assert "; send" in said
        assert "SECRET" not in said

    def test_a_huge_header_is_refused_before_memory_is_taken(self) -> None:
        tracemalloc.start()
        with pytest.raises(ImageTooLarge):
            decode(REFUSED["huge"][0])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 20_000_000

    def test_a_deflated_file_that_inflates_without_end_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shared.imaging.formats.dicom.MAX_INFLATED", 30_000)
        with pytest.raises(ImageTooLarge, match="inflates"):
            decode(dicom(FILM, uid.DeflatedExplicitVRLittleEndian))

    @pytest.mark.parametrize("name", PECULIAR)
    def test_peculiar_files_are_read_as_plain_ones_and_noted(self, name: str) -> None:
        data, note = PECULIAR[name]
        image = decode(data)
        np.testing.assert_array_equal(image.pixels, RAMP)
        assert image.bits == 12
        assert len(image.metadata.notes) == 0 if not note else any(note in said for said in image.metadata.notes)
        assert "SECRET" not in str(image.metadata)

    def test_a_bright_pixel_and_a_label_change_nothing_else(self) -> None:
        for inverted in (False, True):
            photometric = "MONOCHROME1" if inverted else "MONOCHROME2"
            for rows, columns in ((slice(1), slice(1)), (slice(16), slice(40))):
                marked = RAMP.copy()
                marked[rows, columns] = 65535
                stored = 65535 - marked if inverted else marked
                image = decode(dicom(stored, PhotometricInterpretation=photometric))
                assert image.bits == 12
                marked[rows, columns] = 4095
                np.testing.assert_array_equal(image.pixels, marked)

    @pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
    @pytest.mark.parametrize("entries", [300, 4096])
    @pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
    def test_tables_of_every_depth_and_length_are_followed(self, bits: int, entries: int, photometric: str) -> None:
        """Libraries take tables of 8 bits and more than 256 entries modulo 256, and refuse those of 10 to 14 bits."""
        both_ends = np.concatenate([RAMP, np.full((8, RAMP.shape[1]), 4095, np.uint16)])
        values = np.rint(np.linspace(0, 1, entries) ** 0.5 * (2**bits - 1)).astype(np.uint16)
        image = decode(
            dicom(
                both_ends,
                VOILUTSequence=Sequence([table(0, values, bits)]),
                PhotometricInterpretation=photometric,
                **TWELVE,
            )
        )
        shown = values[both_ends.clip(0, entries - 1)].astype(int)
        expected = shown if photometric == "MONOCHROME2" else shown.max() - shown
        assert image.bits == bits
        np.testing.assert_array_equal(image.pixels, expected)

    def test_a_table_of_8_bits_may_stand_in_bytes(self) -> None:
        values = np.rint(np.linspace(0, 255, 4096)).astype(np.uint8)
        item = table(0, values, 8)
        item["LUTData"].value = values.tobytes()
        np.testing.assert_array_equal(seen(dicom(RAMP, VOILUTSequence=Sequence([item]), **TWELVE)), values[RAMP])

    def test_a_table_that_is_much_too_short_is_passed_over(self) -> None:
        item = table(0, np.arange(100), 16, entries=4096)
        image = decode(dicom(RAMP, VOILUTSequence=Sequence([item]), **TWELVE))
        np.testing.assert_array_equal(image.pixels, RAMP)
        assert "VOILUTSequence" in image.metadata.notes[0]
        with pytest.raises(UndecodableImage, match=r"ModalityLUTSequence \(0028,3000\)"):
            decode(dicom(RAMP, ModalityLUTSequence=Sequence([item]), **TWELVE))

    def test_inverted_polarity_is_that_of_the_window_and_not_of_the_brightest_pixel(self) -> None:
        """MONOCHROME1 within a window: what lies above it is black, whatever the highest value that occurs."""
        low = RAMP.clip(0, 3000)
        window = {"WindowCenter": "2048", "WindowWidth": "4096"}
        image = decode(dicom(4095 - low, PhotometricInterpretation="MONOCHROME1", **window, **TWELVE))
        np.testing.assert_array_equal(image.pixels, low)

    def test_windows_are_given_in_grey_levels(self) -> None:
        windows: dict[str, Any] = {"WindowCenter": ["2000", "1500"], "WindowWidth": ["1000", "800"]}
        image = decode(
            dicom(
                RAMP,
                WindowCenterWidthExplanation=["NORMAL", SECRET[:15]],
                VOILUTFunction="LINEAR_EXACT",
                **windows,
                **TWELVE,
            )
        )
        assert image.metadata.windows == (WindowPreset("normal", 500, 1000), WindowPreset(None, 0, 800))
        rescaled = {
            name: [str(2 * int(value) - 100 * (name == "WindowCenter")) for value in values]
            for name, values in windows.items()
        }
        image = decode(
            dicom(RAMP, RescaleSlope="2", RescaleIntercept="-100", VOILUTFunction="LINEAR_EXACT", **rescaled, **TWELVE)
        )
        assert image.metadata.windows == (WindowPreset(None, 500, 1000), WindowPreset(None, 0, 800))
        inverted = decode(
            dicom(
                4095 - RAMP,
                WindowCenter="2047.5",
                WindowWidth="4096",
                PhotometricInterpretation="MONOCHROME1",
                **TWELVE,
            )
        )
        (whole,) = inverted.metadata.windows
        assert (round(whole.centre), round(whole.width)) == (2047, 4096)
        curved = decode(dicom(RAMP, VOILUTFunction="SIGMOID", **windows, **TWELVE))
        assert curved.metadata.windows == ()

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (odd(0x00281053, "1,0 "), r"RescaleSlope \(0028,1053\)"),
            (odd(0x00281052, "a "), r"RescaleIntercept \(0028,1052\)"),
            (dicom(RAMP, Rows=None), "0"),
            (dicom(RAMP, PhotometricInterpretation=None), r"PhotometricInterpretation \(0028,0004\)"),
        ],
    )
    def test_what_no_image_can_do_without_is_refused_by_its_name(self, data: bytes, words: str) -> None:
        with pytest.raises(UndecodableImage, match=words):
            decode(data)

    def test_what_lossy_coding_carries_beyond_the_highest_value_stays_bright(self) -> None:
        beyond = RAMP.copy()
        beyond[:3, :40] = 4100
        frame = bytes(imagecodecs.jpeg2k_encode(beyond, codecformat="j2k", reversible=True, bitspersample=16))
        np.testing.assert_array_equal(seen(dicom(RAMP, uid.JPEG2000Lossless, frame, **TWELVE)), beyond.clip(0, 4095))

    def test_pixels_that_are_not_what_the_transfer_syntax_says_are_refused_as_such(self) -> None:
        compressed = dicom(RAMP, uid.JPEG2000Lossless, j2k(RAMP), **TWELVE)
        with pytest.raises(UndecodableImage, match="transfer syntax is uncompressed but its pixels are compressed"):
            decode(_of_syntax(compressed, uid.ExplicitVRLittleEndian))
        with pytest.raises(UndecodableImage, match="transfer syntax is compressed but its pixels are not"):
            decode(_of_syntax(dicom(RAMP, **TWELVE), uid.JPEG2000Lossless))

    def test_damaged_baseline_frames_are_refused(self) -> None:
        frame = bytearray(jpeg((FILM >> 4).astype(np.uint8)))
        at = int(len(frame) * 0.9)
        frame[at : at + 16] = range(1, 17)
        with pytest.raises(UndecodableImage, match="damaged"):
            decode(dicom((FILM >> 4).astype(np.uint8), uid.JPEGBaseline8Bit, bytes(frame)))

    @settings(max_examples=250, deadline=None)
    @given(st.sampled_from(sorted(FILES)), st.data())
    def test_a_file_cut_anywhere_is_refused_or_read(self, name: str, data: st.DataObject) -> None:
        assert "SECRET" not in said_of(FILES[name][: data.draw(st.integers(0, len(FILES[name]) - 1))])

    @settings(max_examples=400, deadline=None)
    @given(st.sampled_from(sorted(FILES)), st.data())
    def test_damage_anywhere_is_refused_or_read_and_quotes_nothing(self, name: str, data: st.DataObject) -> None:
        file = bytearray(FILES[name])
        for position in data.draw(st.lists(st.integers(128, min(len(file), 1200) - 1), min_size=1, max_size=4)):
            file[position] = data.draw(st.integers(0, 255))
        assert "SECRET" not in said_of(bytes(file))

    def test_elements_without_end_are_refused(self) -> None:
        element = struct.pack("<HHIHHI", 0x0009, 0x1001, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
        head, _, tail = dicom(FILM, uid.ImplicitVRLittleEndian).partition(b"\x28\x00\x02\x00")
        with pytest.raises(ImageError):
            decode(head + element * 30_000 + b"\x28\x00\x02\x00" + tail)

    def test_the_real_film_is_the_same_in_every_syntax(self, dicom_films: Path) -> None:
        film = decode((dicom_films / "fodicom_GH133.dcm").read_bytes())
        assert (film.full_size, film.laterality, film.view) == ((2394, 3062), "R", "MLO")
        for name in ("J2Klossless", "JPEGLS", "RLE"):
            np.testing.assert_array_equal(seen((dicom_films / f"derived_GH133_{name}.dcm").read_bytes()), film.pixels)

    def test_the_real_film_is_the_same_in_inverted_polarity(self, dicom_films: Path) -> None:
        """Its window and padding were copied from the original and mean other values there: neither is compared."""
        found = []
        for name in ("fodicom_GH133", "derived_GH133_MONOCHROME1_RLE"):
            data = pydicom.dcmread(dicom_films / f"{name}.dcm")
            for keyword in ("WindowCenter", "WindowWidth", "VOILUTSequence", "PixelPaddingValue"):
                data.pop(keyword, None)
            found.append(seen(_written(data)))
        np.testing.assert_array_equal(*found)

    def test_the_text_card_is_decoded(self, dicom_films: Path) -> None:
        assert decode((dicom_films / "clunie_MG_pixelspacing_8bit.dcm").read_bytes()).pixels.shape == (512, 512)


def _written(data: Any) -> bytes:
    file = BytesIO()
    data.save_as(file)
    return file.getvalue()
