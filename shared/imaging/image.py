"""The type that every image file becomes: grey, bright where the breast is dense."""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from shared.domain.films import Acquisition
from shared.errors import ImageTooLarge, ImageTooSmall, UndecodableImage

MAX_PIXELS = 100_000_000
"""Larger images are refused from their header. A film at 50 micrometres has about 29 million pixels."""

MIN_EDGE = 200
"""Pixels of the shorter edge below which an image is refused: a breast cropped out of a film that was reduced to half a
millimetre a pixel has more, and a thumbnail fewer."""

Grey: TypeAlias = npt.NDArray[np.uint8]
"""Grey levels, or a mask, H x W."""

Pixels: TypeAlias = Grey | npt.NDArray[np.uint16]


@dataclass(frozen=True)
class WindowPreset:
    """A display window of the file; `centre` and `width` in grey levels of the pixels."""

    name: str | None
    centre: float
    width: float


@dataclass(frozen=True)
class FileMetadata:
    """Facts that an image file states, apart from its pixels; None and () are unknown."""

    view_modifiers: tuple[str, ...] | None = None
    """Names of DICOM CID 4015 in lower case, such as "magnification", and "partial view"; () where the file states a
    view without any."""
    acquisition: Acquisition | None = None
    vendor: str | None = None
    """The manufacturer under one name, "other" where it is none of those known."""
    implant: bool | None = None
    windows: tuple[WindowPreset, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences about what is odd in the file or was passed over; they quote no value of it."""


@dataclass(frozen=True, eq=False)
class Image:
    """A grey image.

    `pixels` are uint8 or uint16, H x W, row 0 on top; the lowest `bits` (8 to 16) of each are used.
    """

    pixels: Pixels
    bits: int
    format: str = "array"
    """PGM, PNG, JPEG, TIFF or DICOM."""
    reduction: int = 1
    """The power of two by which `pixels` were decoded smaller than the file's own, along both edges."""
    frame: tuple[int, int] | None = None
    """Width and height of the file's own frame where they are not those of `pixels`."""
    spacing: tuple[float, float] | None = None
    """Millimetres from row to row and from column to column of the file's own frame."""
    laterality: Literal["L", "R"] | None = None
    view: str | None = None
    """MLO, CC and such: one of the codes of DICOM's view positions."""
    metadata: FileMetadata = FileMetadata()

    @property
    def full_size(self) -> tuple[int, int]:
        """Width and height of the file's own frame, pixels."""
        height, width = self.pixels.shape
        return self.frame or (width, height)


@dataclass(frozen=True)
class ImageHeader:
    """The header of an image file, before any pixel is decoded; see `Image`."""

    format: str
    full_size: tuple[int, int]
    """Width and height, pixels."""
    spacing: tuple[float, float] | None = None
    laterality: Literal["L", "R"] | None = None
    view: str | None = None
    metadata: FileMetadata = FileMetadata()


def check_size(width: int, height: int, most: int = MAX_PIXELS) -> None:
    """Raise UndecodableImage for an empty frame, ImageTooLarge beyond `most` pixels."""
    if width <= 0 or height <= 0:
        raise UndecodableImage(f"the image has {width} x {height} pixels; send the file again")
    if width * height > most:
        raise ImageTooLarge(f"the image has {width} x {height} pixels; send at most {most // 10**6} million")


def check_not_too_small(image: Image, least_edge: int) -> Image:
    """Return the image; raise ImageTooSmall if below both MIN_EDGE and `least_edge`."""
    width, height = image.full_size
    if min(width, height) < min(MIN_EDGE, least_edge):
        raise ImageTooSmall(
            f"the image has {width} x {height} pixels, too few for a mammogram; send one of {MIN_EDGE} x {MIN_EDGE}"
            " pixels at least"
        )
    return image


def halvings(width: int, height: int, least_edge: int | None) -> int:
    """Count the halvings, at most 5, that leave the shorter edge `least_edge` pixels."""
    if least_edge is None:
        return 0
    return max((times for times in range(6) if min(width, height) >> times >= least_edge), default=0)


def halved(image: Image, least_edge: int | None) -> Image:
    """Halve an image while its shorter edge keeps `least_edge` pixels.

    An image that was decoded smaller is returned as it is.
    """
    width, height = image.full_size
    times = halvings(width, height, least_edge) if image.reduction == 1 else 0
    if not times:
        return image
    pixels = image.pixels
    for _ in range(times):
        size = pixels.shape[1] // 2, pixels.shape[0] // 2
        pixels = unsigned(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
    return replace(image, pixels=pixels, reduction=2**times, frame=(width, height))


def unsigned(words: npt.NDArray[np.generic] | cv2.typing.MatLike) -> Pixels:
    """View 8 or 16-bit words as unsigned, in native order; signed ones keep their bits."""
    if words.dtype.itemsize == 1:
        return words.view(np.uint8)
    return words.astype(words.dtype.newbyteorder("="), copy=False).view(np.uint16)


def with_depth(image: Image, bits: int | None) -> Image:
    """Restore the depth in bits of an image that a stage stored; None is unknown.

    A PNG of 16 bits is a container that does not say how many of them are used.
    """
    return image if image.pixels.dtype == np.uint8 or bits is None or bits <= 8 else replace(image, bits=bits)


def to_8bit(image: Image) -> npt.NDArray[np.uint8]:
    """Return the upper 8 of the image's bits."""
    if image.pixels.dtype == np.uint8:
        return np.asarray(image.pixels, np.uint8)
    return np.asarray(image.pixels >> (image.bits - 8), np.uint8)
