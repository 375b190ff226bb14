"""TIFF: which layouts are read, whole and as they are, and how every other one is refused from its directory."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from shared.errors import ImageTooLarge, UndecodableImage, UnsupportedImage
from shared.imaging.formats.decode import decode
from tests.support.tiffs import COMPRESSIONS, Page, page, tiff

RAMP = (np.arange(215 * 250, dtype=np.uint32).reshape(215, 250) % 251).astype(np.uint8)
DEEP = (np.arange(215 * 250, dtype=np.uint32).reshape(215, 250) * 5 % 65521).astype(np.uint16)
LAYOUTS: dict[str, dict[str, Any]] = {
    "strips": {"rows": 16},
    "one strip": {"rows": 215},
    "tiles": {"tile": (64, 32)},
    "one tile": {"tile": (256, 224)},
}


def header(**tags: Any) -> bytes:
    """A harmless header: the layout of `tags` around pixels that are all there."""
    return tiff(page(RAMP, **tags))


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "separate planes": (lambda: header(t284=2), "PlanarConfiguration 2"),
    "bit order": (lambda: header(t266=2), "FillOrder 2"),
    "predictor of floats": (lambda: header(t317=3), "predictor"),
    "signed": (lambda: header(t339=2), "signed"),
    "floats": (lambda: header(t339=3), "floating-point"),
    "12 bits": (lambda: header(t258=12), "12 bits"),
    "1 bit": (lambda: header(t258=()), "1 bits"),
    "mixed depths": (lambda: header(t258=(8, 16), t277=2, t338=0), "bits per sample"),
    "JPEG": (lambda: header(t259=7), "the compression JPEG;"),
    "JPEG 2000": (lambda: header(t259=34712), "the compression JPEG 2000"),
    "CCITT": (lambda: header(t259=4), "the compression CCITT"),
    "unknown compression": (lambda: header(t259=60000), "the compression 60000"),
    "palette": (lambda: header(t262=3), "palette"),
    "CMYK": (lambda: header(t262=5, t277=4, t258=(8, 8, 8, 8)), "colours other than RGB"),
    "samples that nobody names": (lambda: header(t277=2, t258=(8, 8)), "more samples"),
    "two extra samples": (lambda: header(t277=3, t258=(8, 8, 8), t338=(0, 0)), "more samples"),
    "white is 0 at 16 bits": (lambda: tiff(page(DEEP, t262=0)), "white as 0"),
    "tiles of an odd size": (lambda: tiff(_with(page(RAMP, tile=(64, 32)), 322, 65)), "odd size"),
    "tiles far beyond the image": (lambda: tiff(_with(page(RAMP, tile=(64, 32)), 322, 8192)), "odd size"),
}


def _with(made: Page, tag: int, value: int) -> Page:
    return {**made[0], tag: [value]}, made[1]


class TestReadTiff:
    @pytest.mark.parametrize("pixels", [RAMP, DEEP], ids=["8 bits", "16 bits"])
    @pytest.mark.parametrize("layout", LAYOUTS)
    @pytest.mark.parametrize(
        ("compression", "predictor"), [*((scheme, 1) for scheme in COMPRESSIONS), (5, 2), (8, 2), (32946, 2)]
    )
    def test_contiguous_layouts_return_their_pixels(
        self, pixels: Any, layout: str, compression: int, predictor: int
    ) -> None:
        data = tiff(page(pixels, compression=compression, predictor=predictor, **LAYOUTS[layout]))
        np.testing.assert_array_equal(decode(data).pixels, pixels)

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("big", [False, True], ids=["TIFF", "BigTIFF"])
    def test_either_byte_order_and_either_size_of_offsets_are_read(self, order: str, big: bool) -> None:
        np.testing.assert_array_equal(decode(tiff(page(DEEP, order=order), order=order, big=big)).pixels, DEEP)

    def test_colour_and_opacity_become_grey(self) -> None:
        colour = np.repeat(RAMP[..., None], 3, axis=2)
        opaque = np.full_like(RAMP[..., None], 255)
        for pixels, extra in ((colour, ()), (np.dstack([colour, opaque]), 2), (np.dstack([RAMP, opaque]), 2)):
            photometric = 1 if pixels.shape[2] == 2 else 2
            np.testing.assert_array_equal(decode(tiff(page(pixels, t338=extra, t262=photometric))).pixels, RAMP)

    def test_where_0_is_white_8_bits_are_inverted(self) -> None:
        np.testing.assert_array_equal(decode(tiff(page(255 - RAMP, t262=0))).pixels, RAMP)

    def test_the_orientation_is_followed(self) -> None:
        image = decode(tiff(page(RAMP, t274=6)))
        np.testing.assert_array_equal(image.pixels, np.rot90(RAMP, -1))
        assert image.full_size == (215, 250)

    @pytest.mark.parametrize("reduced", [{"t254": 1}, {"t254": 5}, {"t255": 2}])
    @pytest.mark.parametrize("first", [True, False])
    def test_thumbnails_in_front_and_behind_are_passed_over(self, reduced: dict[str, Any], first: bool) -> None:
        pages = [page(RAMP[::4, ::4], **reduced), page(RAMP)]
        np.testing.assert_array_equal(decode(tiff(*(pages if first else pages[::-1]))).pixels, RAMP)

    def test_several_films_in_one_file_are_refused(self) -> None:
        with pytest.raises(UnsupportedImage, match="holds 2 images; send one film per file"):
            decode(tiff(page(RAMP), page(RAMP)))

    @pytest.mark.parametrize("name", REFUSED)
    def test_other_layouts_are_refused_by_their_property_before_they_are_decoded(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "shared.imaging.formats.tiff.decode", lambda *_: pytest.fail("it was handed to the decoder")
        )
        make, words = REFUSED[name]
        with pytest.raises(UnsupportedImage, match=words):
            decode(make())

    @pytest.mark.parametrize(
        "made",
        [
            (page(RAMP)[0], page(RAMP)[1][:-1]),
            (page(RAMP)[0], [*page(RAMP)[1], b"12"]),
            (page(RAMP)[0], [*page(RAMP)[1][:-1], b""]),
            (page(RAMP)[0], [*page(RAMP)[1][:-1], b"too short"]),
            (page(RAMP, tile=(64, 32))[0], page(RAMP, tile=(64, 32))[1][:-1]),
        ],
        ids=["a strip too few", "a strip too many", "an empty strip", "a short strip", "a tile too few"],
    )
    def test_strips_and_tiles_must_cover_the_image(self, made: Page, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "shared.imaging.formats.tiff.decode", lambda *_: pytest.fail("it was handed to the decoder")
        )
        with pytest.raises(UndecodableImage, match="TIFF"):
            decode(tiff(made))

    @pytest.mark.parametrize("compression", [5, 8])
    def test_damaged_strips_are_refused(self, compression: int, capfd: pytest.CaptureFixture[str]) -> None:
        tags, strips = page(RAMP, compression=compression)
        cut = strips[3][: len(strips[3]) // 2]
        with pytest.raises(UndecodableImage, match="damaged"):
            decode(tiff((tags, [*strips[:3], cut, *strips[4:]])))
        assert capfd.readouterr() == ("", "")

    def test_a_checksum_of_deflate_that_is_wrong_is_noticed(self) -> None:
        tags, strips = page(RAMP, compression=8)
        wrong = strips[3][:-1] + bytes([strips[3][-1] ^ 1])
        with pytest.raises(UndecodableImage, match="damaged"):
            decode(tiff((tags, [*strips[:3], wrong, *strips[4:]])))

    def test_directories_without_end_are_refused(self) -> None:
        with pytest.raises(UnsupportedImage, match="more than 64 directories"):
            decode(tiff(*[page(RAMP[:1, :1], t254=1)] * 65, page(RAMP)))
        looped = bytearray(tiff(page(RAMP)))
        entries = int.from_bytes(looped[8:10], "little")
        looped[10 + 12 * entries : 14 + 12 * entries] = (8).to_bytes(4, "little")
        with pytest.raises(UnsupportedImage, match="directories"):
            decode(bytes(looped))

    @pytest.mark.parametrize("big", [False, True], ids=["TIFF", "BigTIFF"])
    def test_offsets_far_beyond_the_file_are_refused(self, big: bool) -> None:
        """Found by `make fuzz`."""
        data = tiff(page(RAMP), big=big)
        first = slice(8, 16) if big else slice(4, 8)
        with pytest.raises(UndecodableImage, match="directory"):
            decode(data[: first.start] + b"\xff" * (first.stop - first.start) + data[first.stop :])

    def test_a_huge_frame_is_refused_from_its_directory(self) -> None:
        with pytest.raises(ImageTooLarge):
            decode(tiff(_with(_with(page(RAMP), 256, 60000), 257, 60000)))
