"""Segment one film: parenchyma and mask, the chest wall on the left.

The method is `shared.imaging.segmentation.segment`, which inference uses too.
"""

from dataclasses import dataclass

from shared.imaging.formats.decode import decode, encode_png
from shared.imaging.image import with_depth
from shared.imaging.segmentation.segment import segment


@dataclass(frozen=True)
class SegmentedImage:
    """PNG files, H x W: the oriented film, 0 outside the parenchyma, and its mask.

    The film keeps its depth; the mask is 255 inside. `flipped` is True if left and right were swapped to get the chest
    wall to the left.
    """

    film_png: bytes
    mask_png: bytes
    flipped: bool
    width: int


def segment_image(data: bytes, bits: int | None = None, view: str | None = None) -> SegmentedImage:
    """Segment one image file.

    Args:
        bits: depth of the original film; None: depth of the file.
        view: view of the film, such as "MLO"; None: it is inferred.

    Raises:
        ImageError: the file can't be decoded, or contains no breast.
    """
    image = with_depth(decode(data), bits)
    result = segment(image.pixels, image.bits, view or image.view)
    return SegmentedImage(encode_png(result.film), encode_png(result.mask), result.flipped, result.film.shape[1])
