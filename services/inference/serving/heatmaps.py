"""The class-activation map on the film that was sent, as a picture."""

import io
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image as Pillow

from shared.api.predictions import HeatmapStyle
from shared.domain.arrays import Float32Array
from shared.imaging.formats.decode import encode_png
from shared.imaging.preprocess import input_square
from shared.imaging.segmentation.segment import Segmentation

_LONGEST_EDGE = 512  # of the map that is sent: the network's own is much coarser, and the client enlarges it anyway
_LEVELS = np.arange(256, dtype=np.uint8)
_INFERNO = cv2.cvtColor(cv2.applyColorMap(_LEVELS[None], cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB).tobytes()


def on_film(heat: Float32Array, segmentation: Segmentation) -> Float32Array:
    """Project a map onto the film as sent: float32, longer edge at most 512.

    It inverts preprocessing: the square around the breast, and the mirroring. Pixels outside the breast are 0.
    """
    height, width = segmentation.mask.shape
    scale = min(1.0, _LONGEST_EDGE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    left, top, edge = input_square(segmentation.box)
    cell_x, cell_y = edge / heat.shape[1], edge / heat.shape[0]
    # from the map's pixel centres to the film's, both scaled; one warp does all of it
    to_film = np.array(
        [
            [cell_x * scale, 0, (left + cell_x / 2) * scale - 0.5],
            [0, cell_y * scale, (top + cell_y / 2) * scale - 0.5],
        ]
    )
    laid = cv2.warpAffine(heat, to_film, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.resize(segmentation.mask, size, interpolation=cv2.INTER_NEAREST)
    laid[mask == 0] = 0
    return np.asarray(cv2.flip(laid, 1) if segmentation.flipped else laid, np.float32)


def overlay_png(heat: Float32Array) -> bytes:
    """Draw a map (float32 H x W, 0..1) as a coloured PNG, transparent where it is 0.

    A palette of colours and transparencies needs a quarter of the bytes and a tenth of the time.
    """
    picture = Pillow.fromarray(np.rint(heat * 255).astype(np.uint8), "P")
    picture.putpalette(_INFERNO)
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1, transparency=bytes(range(256)))
    return file.getvalue()


def grey_png(heat: Float32Array) -> bytes:
    """Draw a map as an 8-bit greyscale PNG, for programs."""
    return encode_png(np.rint(heat * 255).astype(np.uint8))


DRAWN: dict[HeatmapStyle, Callable[[Float32Array], bytes]] = {"overlay": overlay_png, "grey": grey_png}
