"""Headers of JPEG, JPEG-LS and JPEG 2000: what a decoder would take is known before it is called."""

import io
import struct

import imagecodecs
import numpy as np
import PIL.Image
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
    jpeg_2000_without_texts,
    jpeg_without_texts,
    without_application_data,
)

PIXELS = np.arange(40 * 24, dtype=np.uint8).reshape(40, 24)
DEEP = PIXELS.astype(np.uint16) * 16
NOISE = np.random.default_rng(1).integers(0, 65536, (40, 24), np.uint16)
NOTE = b"MUSTERMANN"
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


def progressive() -> bytes:
    """A JPEG of several scans."""
    file = io.BytesIO()
    PIL.Image.fromarray(PIXELS).save(file, "JPEG", progressive=True)
    return file.getvalue()


def noted_tile_parts(file: bytes) -> bytes:
    """A JPEG 2000 with a comment in its main header and in that of each tile-part."""
    comment = segment(0x64, b"\x00\x01" + NOTE)
    start = file.index(b"\xff\x90\x00\x0a")
    parts, position = [file[:start], comment], start
    while file[position : position + 2] == b"\xff\x90":
        (length,) = struct.unpack_from(">I", file, position + 6)
        end = position + length if length else len(file) - 2
        longer = struct.pack(">I", end - position + len(comment))
        parts += [file[position : position + 6], longer, file[position + 10 : position + 12], comment]
        parts.append(file[position + 12 : end])
        position = end
    return b"".join([*parts, END])


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


class TestJpegWithoutTexts:
    @pytest.mark.parametrize(
        "file",
        [
            imagecodecs.jpeg8_encode(PIXELS),
            imagecodecs.jpeg8_encode(DEEP, bitspersample=12),
            imagecodecs.ljpeg_encode(DEEP, bitspersample=12),
            imagecodecs.jpegls_encode(NOISE),
        ],
        ids=["baseline", "extended", "lossless", "JPEG-LS"],
    )
    def test_what_encoders_write_is_kept_to_its_end(self, file: bytes) -> None:
        assert jpeg_without_texts(bytes(file) + NOTE) == without_application_data(bytes(file))

    @pytest.mark.parametrize("marker", [0xE1, 0xEC, 0xFE, 0xF0])
    def test_notes_before_and_between_scans_and_behind_the_end_go(self, marker: int) -> None:
        file = progressive()
        scan = file.rindex(b"\xff\xda")
        noted = file[:2] + segment(marker, NOTE) + file[2:scan] + segment(marker, NOTE) + b"\xff" + file[scan:] + NOTE
        assert jpeg(noted) == jpeg(file)
        bare = jpeg_without_texts(noted)
        assert bare == without_application_data(file)
        np.testing.assert_array_equal(imagecodecs.jpeg8_decode(bare), imagecodecs.jpeg8_decode(file))

    def test_restart_markers_belong_to_a_scan(self) -> None:
        file = written(BASELINE)
        file = file[:-2] + b"\x12\xff\x00\xff\xd0\x34\xff\xd1\x56" + END
        assert jpeg_without_texts(file) == file

    @pytest.mark.parametrize(
        "file",
        [written(BASELINE)[:-2], written(BASELINE)[:-2] + segment(0xFE, NOTE), written(BASELINE)[:-2] + b"\xff\xd8"],
        ids=["no end", "a note last", "another start"],
    )
    def test_one_that_does_not_lead_to_its_end_is_refused(self, file: bytes) -> None:
        with pytest.raises(UndecodableImage, match="ends before its end marker"):
            jpeg_without_texts(file)


class TestJpeg2000WithoutTexts:
    @pytest.mark.parametrize(
        "file",
        [
            imagecodecs.jpeg2k_encode(NOISE, codecformat="j2k", reversible=True),
            imagecodecs.htj2k_encode(NOISE, reversible=True),
            imagecodecs.htj2k_encode(NOISE, reversible=True, tile=(16, 16)),
        ],
        ids=["JPEG 2000", "HTJ2K", "tiles"],
    )
    def test_comments_of_headers_and_bytes_behind_the_end_go(self, file: bytes) -> None:
        bare = jpeg_2000_without_texts(noted_tile_parts(bytes(file)) + NOTE)
        assert NOTE not in bare
        np.testing.assert_array_equal(imagecodecs.jpeg2k_decode(bare), NOISE)

    def test_what_has_no_comment_is_kept(self) -> None:
        file = jpeg_2000_without_texts(imagecodecs.jpeg2k_encode(NOISE, codecformat="j2k", reversible=True))
        assert jpeg_2000_without_texts(file) == file

    def test_a_last_tile_part_may_leave_out_its_length(self) -> None:
        file = jpeg_2000_without_texts(imagecodecs.jpeg2k_encode(NOISE, codecformat="j2k", reversible=True))
        at = file.rindex(b"\xff\x90\x00\x0a") + 6
        assert (
            jpeg_2000_without_texts(file[:at] + bytes(4) + file[at + 4 :] + NOTE)
            == file[:at] + bytes(4) + file[at + 4 :]
        )

    def test_an_end_marker_that_is_missing_is_added(self) -> None:
        file = jpeg_2000_without_texts(imagecodecs.jpeg2k_encode(NOISE, codecformat="j2k", reversible=True))
        assert jpeg_2000_without_texts(file.removesuffix(END)) == file

    @pytest.mark.parametrize("rest", [NOTE, segment(0x64, NOTE)])
    def test_bytes_in_place_of_the_end_marker_are_refused(self, rest: bytes) -> None:
        file = imagecodecs.jpeg2k_encode(NOISE, codecformat="j2k", reversible=True)
        with pytest.raises(UndecodableImage, match="ends before its end marker"):
            jpeg_2000_without_texts(file[:-2] + rest)

    def test_a_tile_part_that_is_cut_off_is_refused(self) -> None:
        file = imagecodecs.jpeg2k_encode(NOISE, codecformat="j2k", reversible=True)
        with pytest.raises(UndecodableImage, match="ends before its end marker"):
            jpeg_2000_without_texts(file[:-40])


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
