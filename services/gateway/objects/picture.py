"""The picture of a result: film, breast outline, heat of a suspicious decision, and words above the film."""

import textwrap

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from services.gateway.objects.heat import is_suspicious, map_of, outline_of
from services.gateway.objects.wording import RESEARCH, film_words
from services.gateway.report import Report, ReportedFilm
from shared.errors import ImageError
from shared.imaging.formats.decode import decode
from shared.imaging.image import to_8bit

LONGEST_EDGE = 1280
"""Pixels of the film's longer edge in the picture."""

_LINE, _MARGIN, _SIZE = 24, 8, 18
_OUTLINE = (0, 255, 0)
_HEAT = np.array([255, 140, 0], np.float32)
_STRONGEST = 0.5  # opacity of the strongest heat: the film stays visible below it

Picture = npt.NDArray[np.uint8]


def draw(report: Report, film: ReportedFilm, data: bytes) -> Picture:
    """Draw the result of a film: uint8, H x W x 3, RGB.

    A film without a result is shown with the reason; a file that can't be decoded leaves the space of the film black.
    """
    pixels = _shown(film, data)
    if film.applies:
        pixels = _with_heat(film, pixels)
        _add_outline(film, pixels)
    return np.vstack([_words(report, film, pixels.shape[1]), pixels])


def _shown(film: ReportedFilm, data: bytes) -> Picture:
    width, height = film.header.size
    scale = LONGEST_EDGE / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    try:
        image = decode(data, least_edge=min(size))
        grey = cv2.resize(to_8bit(image), size, interpolation=cv2.INTER_AREA)
    except ImageError:
        grey = np.zeros(size[::-1], np.uint8)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)


def _with_heat(film: ReportedFilm, pixels: Picture) -> Picture:
    heat = map_of(film) if is_suspicious(film) else None  # a normal film's map would mark what is normal
    if heat is None:
        return pixels
    height, width = pixels.shape[:2]
    opacity = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    opacity *= _STRONGEST / 255
    film_share = pixels[..., 0] * (1 - opacity)  # the film is grey: its channels are alike
    return np.asarray(
        cv2.merge([np.rint(film_share + colour * opacity).astype(np.uint8) for colour in _HEAT]), np.uint8
    )


def _add_outline(film: ReportedFilm, pixels: Picture) -> None:
    columns, rows = film.header.size
    height, width = pixels.shape[:2]
    points = np.array(outline_of(film)) * (width / columns, height / rows)
    cv2.polylines(pixels, [np.rint(points).astype(np.int32)], True, _OUTLINE, 2, cv2.LINE_AA)


def _words(report: Report, film: ReportedFilm, width: int) -> Picture:
    """Draw the words on a band as wide as the film."""
    model = report.model
    texts = [film_words(film), f"{model.network} {model.version}. {report.answer.notice}", RESEARCH]
    font = ImageFont.load_default(_SIZE)
    letters = max(20, int((width - 2 * _MARGIN) / font.getlength("n")))
    lines = [(line, text == RESEARCH) for text in texts for line in textwrap.wrap(text, letters)]
    band = Pillow.new("RGB", (width, len(lines) * _LINE + 2 * _MARGIN))
    pen = ImageDraw.Draw(band)
    for number, (line, warns) in enumerate(lines):
        colour = (255, 80, 80) if warns else (255, 255, 255)
        pen.text((_MARGIN, _MARGIN + number * _LINE), line, fill=colour, font=font)
    return np.asarray(band, np.uint8)
