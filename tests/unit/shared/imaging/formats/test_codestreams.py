"""Headers of JPEG, JPEG-LS and JPEG 2000: what a decoder would take is known before it is called."""

import struct

import imagecodecs
import numpy as np
import pytest

from shared.errors import UndecodableImage, UnsupportedImage
from shared.imaging.formats.codestreams import (
    BASELINE,
    EXTENDED,
    JPEG_LS,
    LOSSLESS,
    MAX_LAYERS,
    MAX_SCANS,
    MAX_TILES,
    PROGRESSIVE,
    jpeg,
    jpeg_2000,
    without_application_data,
)

PIXELS = np.arange(40 * 24, dtype=np.uint8).reshape(40, 24)
DEEP = PIXELS.astype(np.uint16) * 16
END = b"\xff\xd9"


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def written(process: int, scans: int = 1, bits: int = 8, channels: int = 1) -> bytes:
    """A JPEG of 24 x 40 pixels without any: its headers, its scans' headers and its end."""
    frame = segment(process, struct.pack(">BHHB", bits, 40, 24, channels) + b"\x01\x11\x00" * channels)
    return b"\xff\xd8" + frame + segment(0xDA, b"\x01\x01\x00\x00\x3f\x00") * scans + END


def j2k(
    channels: int = 1,
    tile: int = 64,
    layers: int = 1,
    levels: int = 2,
    blocks: tuple[int, int] = (4, 4),
    depth: int = 11,
) -> bytes:
    """The main header of a JPEG 2000 of 24 x 40 pixels, and the beginning of its first tile."""
    size = struct.pack(">H8IH", 0, 24, 40, 0, 0, tile, tile, 0, 0, channels) + bytes([depth, 1, 1]) * channels
    style = struct.pack(">BBHBBBBBB", 0, 0, layers, 0, levels, *blocks, 0, 1)
    return b"\xff\x4f" + segment(0x51, size) + segment(0x52, style) + segment(0x90, b"\0" * 8)


class TestJpeg:
    @pytest.mark.parametrize(
        ("file", "process", "bits"),
        [
            (imagecodecs.jpeg8_encode(PIXELS), BASELINE, 8),
            (imagecodecs.jpeg8_encode(DEEP, bitspersample=12), EXTENDED, 12),
            (imagecodecs.ljpeg_encode(DEEP, bitspersample=12), LOSSLESS, 12),
            (imagecodecs.jpegls_encode(DEEP), JPEG_LS, 16),
        ],
        ids=["baseline", "extended", "lossless", "JPEG-LS"],
    )
    def test_what_encoders_write_is_read(self, file: bytes, process: int, bits: int) -> None:
        found = jpeg(file)
        assert (found.width, found.height, found.bits, found.channels, found.process) == (24, 40, bits, 1, process)

    def test_fill_bytes_before_a_marker_are_skipped(self) -> None:
        file = written(BASELINE)
        assert jpeg(file[:2] + b"\xff\xff" + file[2:]) == jpeg(file)

    def test_exif_is_handed_on(self) -> None:
        file = written(BASELINE)
        assert jpeg(file[:2] + segment(0xE1, b"Exif\0\0MM") + file[2:]).exif == b"MM"

    def test_scans_are_counted_of_progressive_files(self) -> None:
        assert jpeg(written(PROGRESSIVE, MAX_SCANS)).process == PROGRESSIVE
        with pytest.raises(UnsupportedImage, match="more than 24 scans"):
            jpeg(written(PROGRESSIVE, MAX_SCANS + 1))

    @pytest.mark.parametrize("process", [0xC5, 0xC9, 0xCF])
    def test_hierarchical_and_arithmetic_ones_are_refused(self, process: int) -> None:
        with pytest.raises(UnsupportedImage, match="hierarchical or arithmetic-coded"):
            jpeg(written(process))

    def test_two_frame_headers_are_refused(self) -> None:
        file = written(BASELINE)
        frame = file[2 : file.index(b"\xff\xda")]
        with pytest.raises(UndecodableImage, match="two frame headers"):
            jpeg(file[:2] + frame + file[2:])

    @pytest.mark.parametrize("file", [b"", b"\xff\xd8", written(BASELINE)[:-2], written(BASELINE)[:8], b"GIF89a"])
    def test_one_that_ends_early_or_is_none_is_refused(self, file: bytes) -> None:
        with pytest.raises(UndecodableImage, match="ends before its end marker; send the file again"):
            jpeg(file)

    def test_bytes_in_place_of_a_marker_are_refused(self) -> None:
        with pytest.raises(UndecodableImage, match="lacks a marker"):
            jpeg(b"\xff\xd8\x00\x00\x00\x00")


class TestWithoutApplicationData:
    def test_the_notes_go_and_the_pixels_stay(self) -> None:
        file = imagecodecs.jpeg8_encode(PIXELS)
        noted = file[:2] + segment(0xE1, b"Exif\0\0MM") + segment(0xEC, b"Ducky") + file[2:]
        bare = without_application_data(noted)
        assert b"Exif" not in bare
        assert b"Ducky" not in bare
        np.testing.assert_array_equal(imagecodecs.jpeg8_decode(bare), imagecodecs.jpeg8_decode(file))


class TestJpeg2000:
    def test_what_an_encoder_writes_is_read(self) -> None:
        found = jpeg_2000(imagecodecs.jpeg2k_encode(DEEP, codecformat="j2k", bitspersample=12, reversible=True))
        assert (found.width, found.height, found.bits, found.signed, found.process) == (24, 40, 12, False, 0)
        assert found.levels >= 1

    @pytest.mark.parametrize(("depth", "bits", "signed"), [(11, 12, False), (0x80 | 15, 16, True)])
    def test_depth_sign_and_levels_are_those_of_the_header(self, depth: int, bits: int, signed: bool) -> None:
        found = jpeg_2000(j2k(depth=depth, levels=3))
        assert (found.width, found.height, found.bits, found.signed, found.levels) == (24, 40, bits, signed, 3)

    @pytest.mark.parametrize(
        ("file", "words"),
        [
            (j2k(channels=3), "not one greyscale plane"),
            (j2k(layers=MAX_LAYERS + 1), "too many layers"),
            (j2k(blocks=(1, 1)), "too small blocks"),
            (j2k(levels=33), "too small blocks or too many layers"),
        ],
        ids=["colour", "layers", "blocks", "levels"],
    )
    def test_what_costs_more_than_its_pixels_explain_is_refused(self, file: bytes, words: str) -> None:
        with pytest.raises(UnsupportedImage, match=words):
            jpeg_2000(file)

    def test_more_tiles_than_a_film_needs_are_refused(self) -> None:
        assert MAX_TILES > -(-24 // 1) * -(-40 // 1)
        wide = j2k(tile=1).replace(struct.pack(">2I", 24, 40), struct.pack(">2I", 2400, 4000))
        with pytest.raises(UnsupportedImage, match="9600000 tiles; send one of at most 4096"):
            jpeg_2000(wide)

    @pytest.mark.parametrize(
        "file", [b"", b"\xff\x4f", j2k()[:40], j2k(tile=0), b"\xff\x4f\xff\x90\x00\x0a" + b"\0" * 8]
    )
    def test_a_header_that_is_not_whole_is_refused(self, file: bytes) -> None:
        with pytest.raises(UndecodableImage, match=r"truncated|corrupt"):
            jpeg_2000(file)
