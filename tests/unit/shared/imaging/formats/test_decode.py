"""Decoding: what is read, at which depth, and how damaged, foreign and oversized files are refused."""

import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import ImageError, ImageTooLarge, ImageTooSmall, UndecodableImage, UnsupportedImage
from shared.imaging.formats.decode import decode, encode_pgm, encode_png
from shared.imaging.image import Image, Pixels, to_8bit

RAMP = (np.arange(240 * 320, dtype=np.uint32).reshape(240, 320) % 251).astype(np.uint8)
DEEP = (np.arange(240 * 320, dtype=np.uint32).reshape(240, 320) * 5 % 65521).astype(np.uint16)


def encoded(ending: str, pixels: Pixels | cv2.typing.MatLike, *options: int) -> bytes:
    return cv2.imencode(ending, pixels, options)[1].tobytes()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def damaged(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :]


FILES = {
    "PGM": encode_pgm(RAMP),
    "PGM16": encode_pgm(DEEP),
    "PNG": encode_png(RAMP),
    "JPEG": encoded(".jpg", RAMP),
    "TIFF": encoded(".tiff", RAMP),
}


def tiff_of_size(width: int, height: int) -> bytes:
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (279, 4, 1, 1)]
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)


def jpeg_of_size(width: int, height: int) -> bytes:
    frame = b"\xff\xc0" + struct.pack(">HBHHBBBB", 11, 8, height, width, 1, 1, 0x11, 0)
    return b"\xff\xd8" + frame + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x00\xff\xd9"


def png_of_size(width: int, height: int) -> bytes:
    ihdr = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + ihdr + png_chunk(b"IDAT", zlib.compress(b"")) + png_chunk(b"IEND", b"")


def pgm_of_size(width: int, height: int) -> bytes:
    return b"P5 %d %d 255\n" % (width, height)


FILM12 = np.asarray(cv2.GaussianBlur(DEEP >> 4, (0, 0), 5), np.uint16)
"""12 bits in a container of 16, darkest 0 and brightest below 4096."""


def label(films: Pixels) -> Pixels:
    films[4:30, 250:290] = 65535
    return films


def pixel(films: Pixels) -> Pixels:
    films[7, 300] = 65535
    return films


DAMAGED = {
    "JPEG": (encoded(".jpg", RAMP), 0.9),
    "JPEG progressive": (encoded(".jpg", RAMP, cv2.IMWRITE_JPEG_PROGRESSIVE, 1), 0.7),
    "PNG": (encode_png(RAMP), 0.5),
}


class TestEncodePng:
    def test_the_depth_of_a_16_bit_png_is_that_of_its_film(self) -> None:
        image = decode(encode_png(np.array([[0, 2048, 4095]], np.uint16)))
        assert image.bits == 12
        assert to_8bit(image).tolist() == [[0, 128, 255]]

    def test_a_breast_cropped_from_a_reduced_film_is_large_enough(self) -> None:
        assert decode(encode_png(RAMP[:200, :200]), least_edge=1024).pixels.shape == (200, 200)

    def test_bright_tissue_is_not_taken_for_a_label(self) -> None:
        """Two per cent of the film, brighter than 2^11, but adjoining the rest."""
        film = (np.linspace(0, 2090, RAMP.size).reshape(RAMP.shape)).astype(np.uint16)
        image = decode(encode_png(film))
        assert image.bits == 12
        np.testing.assert_array_equal(image.pixels, film)

    def test_odd_chunks_of_a_png_leave_no_stray_lines(self, capfd: pytest.CaptureFixture[str]) -> None:
        plain = encode_png(RAMP)
        odd = plain[:33] + png_chunk(b"iCCP", b"x\0\0no profile") + png_chunk(b"zTXt", b"\0no text") + plain[33:]
        np.testing.assert_array_equal(decode(odd).pixels, RAMP)
        assert capfd.readouterr() == ("", "")

    def test_an_animated_png_is_refused(self) -> None:
        plain = encode_png(RAMP)
        with pytest.raises(UnsupportedImage, match="animated"):
            decode(plain[:33] + png_chunk(b"acTL", struct.pack(">II", 3, 0)) + plain[33:])


class TestDecode:
    @pytest.mark.parametrize("pixels", [RAMP, DEEP], ids=["8 bits", "16 bits"])
    @pytest.mark.parametrize("encode", [encode_png, encode_pgm, lambda pixels: encoded(".tiff", pixels)])
    def test_lossless_formats_return_the_same_pixels(self, encode: Callable[[Pixels], bytes], pixels: Pixels) -> None:
        decoded = decode(encode(pixels)).pixels
        assert decoded.dtype == pixels.dtype
        np.testing.assert_array_equal(decoded, pixels)

    def test_a_jpeg_is_close_to_its_pixels(self) -> None:
        smooth = cv2.GaussianBlur(RAMP, (0, 0), 4)
        assert np.abs(decode(encoded(".jpg", smooth)).pixels.astype(int) - smooth).max() < 8

    @pytest.mark.parametrize("ending", [".jpg", ".png", ".tiff"])
    def test_a_film_of_any_format_is_halved_as_often_as_it_may_be(self, ending: str) -> None:
        image = decode(encoded(ending, np.tile(RAMP, (2, 2))), least_edge=100)
        assert image.reduction == 4
        assert image.pixels.shape == (480 // image.reduction, 640 // image.reduction)
        assert image.full_size == (640, 480)

    def test_a_jpeg_is_never_smaller_than_what_is_asked_for(self) -> None:
        data = encoded(".jpg", np.tile(RAMP, (2, 2)))
        sizes = {edge: min(decode(data, least_edge=edge).pixels.shape) for edge in (481, 480, 241, 240, 61, 60, 30, 1)}
        assert sizes == {481: 480, 480: 480, 241: 480, 240: 240, 61: 120, 60: 60, 30: 60, 1: 60}

    @pytest.mark.parametrize("least_edge", [None, 100])
    def test_a_jpeg_is_turned_as_its_camera_noted(self, least_edge: int | None) -> None:
        tiff = struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 0x0112, 3, 1, 6, 0)  # orientation 6: turned to the right
        noted = b"\xff\xe1" + struct.pack(">H", 8 + len(tiff)) + b"Exif\0\0" + tiff
        plain = encoded(".jpg", cv2.GaussianBlur(RAMP, (0, 0), 4))
        image = decode(plain[:2] + noted + plain[2:], least_edge)
        np.testing.assert_array_equal(image.pixels, np.rot90(decode(plain, least_edge).pixels, -1))
        assert image.full_size == (240, 320)

    def test_formats_are_named(self) -> None:
        assert {name: decode(data).format for name, data in FILES.items()} == {
            name: name.removesuffix("16") for name in FILES
        }

    @pytest.mark.external
    def test_the_readers_of_dicom_are_imported_when_the_first_one_comes(self) -> None:
        """They take longer to import than a service may take to start."""
        program = "import sys, shared.imaging.preprocess; sys.exit(bool({'pydicom', 'imagecodecs'} & set(sys.modules)))"
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

    def test_colour_becomes_grey(self) -> None:
        colour = cv2.cvtColor(RAMP, cv2.COLOR_GRAY2BGR)
        for ending in (".png", ".tiff"):
            np.testing.assert_array_equal(decode(encoded(ending, colour)).pixels, RAMP)

    def test_a_pgm_header_may_hold_comments(self) -> None:
        data = b"P5 # made by hand\n#second\n3\t2 # size\n255\n" + bytes(range(6))
        np.testing.assert_array_equal(decode(data).pixels, [[0, 1, 2], [3, 4, 5]])

    def test_pixels_that_look_like_a_comment_are_pixels(self) -> None:
        assert decode(b"P5 1 2 255\n##").pixels.tolist() == [[35], [35]]

    @pytest.mark.parametrize(("maxval", "bits"), [(255, 8), (1023, 10), (4095, 12), (65535, 16)])
    def test_the_depth_of_a_pgm_is_that_of_its_maxval(self, maxval: int, bits: int) -> None:
        sample = struct.pack(">H" if maxval > 255 else "B", maxval)
        image = decode(b"P5 1 1 %d\n" % maxval + sample)
        assert image.bits == bits
        assert to_8bit(image).tolist() == [[255]]

    def test_8_bits_stay_as_they_are(self) -> None:
        np.testing.assert_array_equal(to_8bit(Image(RAMP, 8)), RAMP)

    @pytest.mark.parametrize("data", [b"P5", b"P2 1 1 255\n7", b"GIF89a" + bytes(20), b"hello", b"II,\0" + bytes(20)])
    def test_other_formats_are_refused_with_those_that_are_read(self, data: bytes) -> None:
        with pytest.raises((UnsupportedImage, UndecodableImage)) as refusal:
            decode(data)
        assert "PGM" in str(refusal.value)

    @pytest.mark.parametrize("name", FILES)
    @pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.95, 0.999])
    def test_a_truncated_file_is_refused(self, name: str, part: float) -> None:
        data = FILES[name]
        with pytest.raises(UndecodableImage):
            decode(data[: max(8, int(len(data) * part))])

    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def test_damage_anywhere_in_a_png_is_noticed(self, data: st.DataObject) -> None:
        file = FILES["PNG"]
        with pytest.raises(ImageError):
            decode(damaged(file, data.draw(st.integers(0, len(file) - 1))))

    def test_a_tiff_that_gives_no_number_for_its_depth_is_refused(self) -> None:
        """Found by `make fuzz`: an entry of the directory may claim to have no values."""
        tiff = cv2.imencode(".tiff", RAMP, (cv2.IMWRITE_TIFF_COMPRESSION, 1))[1].tobytes()
        entry = struct.pack("<HHI", 258, 3, 1)
        assert entry in tiff
        with pytest.raises(UndecodableImage, match="directory is truncated or incomplete"):
            decode(tiff.replace(entry, struct.pack("<HHI", 258, 3, 0)))

    @settings(max_examples=150, deadline=None)
    @given(st.sampled_from(sorted(FILES)), st.data())
    def test_no_damage_raises_anything_but_an_image_error(self, name: str, data: st.DataObject) -> None:
        file = FILES[name]
        for position in data.draw(st.lists(st.integers(0, min(len(file), 200) - 1), min_size=1, max_size=4)):
            file = damaged(file, position)
        with suppress(ImageError):
            decode(file)

    @pytest.mark.parametrize("of_size", [pgm_of_size, png_of_size, jpeg_of_size, tiff_of_size])
    def test_size_is_judged_from_the_header(self, of_size: Callable[[int, int], bytes]) -> None:
        with pytest.raises(ImageTooLarge, match="60000 x 60000"):
            decode(of_size(60000, 60000))
        with pytest.raises(UndecodableImage, match="0 x 10"):
            decode(of_size(0, 10))

    def test_a_pgm_with_pixels_too_many_or_too_bright_is_refused(self) -> None:
        with pytest.raises(UndecodableImage, match="5 bytes of pixels instead of 4"):
            decode(b"P5 2 2 255\n12345")
        with pytest.raises(UndecodableImage, match="maxval"):
            decode(b"P5 1 1 1023\n\xff\xff")
        with pytest.raises(UndecodableImage, match="maxval"):
            decode(b"P5 1 1 100\n\x65")
        with pytest.raises(UndecodableImage, match="maxval"):
            decode(b"P5 1 1 70000\n\xff\xff")

    def test_an_empty_file_is_refused_as_such(self) -> None:
        with pytest.raises(UndecodableImage, match="the file is empty"):
            decode(b"")

    def test_a_pgm_is_scaled_by_its_maxval(self) -> None:
        assert decode(b"P5 3 1 100\n\0\x32\x64").pixels.tolist() == [[0, 128, 255]]
        assert decode(b"P5 2 1 1\n\0\x01").pixels.tolist() == [[0, 255]]
        deep = decode(b"P5 3 1 10000\n" + np.array([0, 5000, 10000], ">u2").tobytes())
        assert (deep.pixels.tolist(), deep.bits) == ([[0, 8192, 16383]], 14)

    @pytest.mark.parametrize("end", [b"\n", b"\r\n"])
    def test_a_newline_behind_the_pixels_of_a_pgm_is_passed_over(self, end: bytes) -> None:
        assert decode(b"P5 2 1 255\n12" + end).pixels.tolist() == [[49, 50]]

    @pytest.mark.parametrize(("width", "height"), [(96, 96), (199, 640), (640, 199)])
    @pytest.mark.parametrize("ending", [".png", ".jpg", ".tiff"])
    def test_images_far_below_the_size_of_a_mammogram_are_not_judged(
        self, width: int, height: int, ending: str
    ) -> None:
        data = encoded(ending, cv2.resize(RAMP, (width, height)))
        with pytest.raises(ImageTooSmall, match=f"{width} x {height} pixels, too few"):
            decode(data, least_edge=1024)
        assert decode(data).full_size == (width, height)  # as a picture for people

    @pytest.mark.parametrize("outlier", [pixel, label])
    @pytest.mark.parametrize("encode", [encode_png, encode_pgm, lambda pixels: encoded(".tiff", pixels)])
    def test_a_bright_pixel_or_label_does_not_deepen_a_film(
        self, outlier: Callable[[Pixels], Pixels], encode: Callable[[Pixels], bytes]
    ) -> None:
        plain, odd = decode(encode(FILM12)), decode(encode(outlier(FILM12.copy())))
        assert plain.bits == odd.bits == 12
        np.testing.assert_array_equal(odd.pixels, np.minimum(outlier(FILM12.copy()), 4095))
        differs = to_8bit(odd) != to_8bit(plain)
        assert differs.sum() <= (outlier(np.zeros_like(FILM12)) > 0).sum()

    @pytest.mark.parametrize("name", DAMAGED)
    def test_damage_that_decoders_only_warn_about_is_refused_without_stray_lines(
        self, name: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        data, part = DAMAGED[name]
        at = int(len(data) * part)
        with pytest.raises(UndecodableImage):
            decode(data[:at] + bytes(range(1, 17)) + data[at + 16 :])
        assert capfd.readouterr() == ("", "")

    def test_a_version_of_jfif_that_libjpeg_does_not_know_is_no_damage(self) -> None:
        plain = encoded(".jpg", RAMP)
        assert plain[6:11] == b"JFIF\0"
        np.testing.assert_array_equal(decode(plain[:11] + b"\x09" + plain[12:]).pixels, decode(plain).pixels)

    def test_a_jpeg_of_four_channels_is_refused_from_its_header(self) -> None:
        frame = (
            b"\xff\xc0" + struct.pack(">HBHHB", 20, 8, 500, 500, 4) + b"".join(bytes([n, 0x11, 0]) for n in range(4))
        )
        with pytest.raises(UnsupportedImage, match="4 channels"):
            decode(b"\xff\xd8" + frame + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x00\xff\xd9")
