"""One film in, the breast alone out, the chest wall on the left, with the mask that says where it is.

The method is `shared.imaging.segmentation.segment`, which inference uses too: what training saw, serving does.
"""

from dataclasses import dataclass

from shared.imaging.formats.decode import decode, encode_png
from shared.imaging.image import with_depth
from shared.imaging.segmentation.segment import segment


@dataclass(frozen=True)
class SegmentedImage:
    """PNG files, H x W: the oriented film in its own depth, all but the parenchyma at 0, and the mask, 255 inside.

    `flipped` says that left and right were exchanged to get the chest wall to the left.
    """

    film_png: bytes
    mask_png: bytes
    flipped: bool
    width: int


def segment_image(data: bytes, bits: int | None = None, view: str | None = None) -> SegmentedImage:
    """Segment one image file.

    Args:
        bits: depth of the film that it was made of; None: as the file tells.
        view: that of the film, such as "MLO"; None: it is inferred.

    Raises:
        ImageError: it can't be decoded, or no breast is found in it.
    """
    image = with_depth(decode(data), bits)
    result = segment(image.pixels, image.bits, view or image.view)
    return SegmentedImage(encode_png(result.film), encode_png(result.mask), result.flipped, result.film.shape[1])
