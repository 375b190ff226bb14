"""Regions of a film in which the evidence for its decision is strongest, from the class-activation map."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from services.gateway.report import ReportedFilm
from shared.domain.arrays import Float64Array

SHARE_OF_PEAK = 0.6
"""A region holds what reaches this share of the map's maximum."""

_MOST_POINTS = 64


@dataclass(frozen=True)
class Region:
    """A closed outline and its strongest point, (x, y) in pixels of the film."""

    outline: tuple[tuple[float, float], ...]
    centre: tuple[float, float]


def map_of(film: ReportedFilm) -> npt.NDArray[np.uint8] | None:
    """Return the map as uint8 (H x W), 0 to 255; None if the answer has none."""
    heat = film.finding.heatmap if film.finding else None
    if heat is None:
        return None
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(heat.png), np.uint8), cv2.IMREAD_GRAYSCALE)
    return None if decoded is None else np.asarray(decoded, np.uint8)


def region_of(film: ReportedFilm) -> Region | None:
    """Return the strongest region of an abnormal film.

    None for other films: the map of a normal film explains why it is normal.
    """
    heat = map_of(film)
    if heat is None or not film.applies or film.finding is None or not is_suspicious(film) or not heat.max():
        return None
    mask = (heat >= SHARE_OF_PEAK * heat.max()).astype(np.uint8)
    y, x = np.unravel_index(int(heat.argmax()), heat.shape)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    around = next(each for each in contours if cv2.pointPolygonTest(each, (float(x), float(y)), False) >= 0)
    ring = around[:, 0].astype(np.float64)
    if len(ring) < 3:  # a peak of one pixel or two has no outline of its own
        (left, top), (right, bottom) = ring.min(axis=0) - 0.5, ring.max(axis=0) + 0.5
        ring = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    ring = ring[:: max(1, len(ring) // _MOST_POINTS)]
    return Region(_to_film(film, ring, heat.shape), _to_film(film, np.array([[float(x), float(y)]]), heat.shape)[0])


def is_suspicious(film: ReportedFilm) -> bool:
    """Return True if the decision about a film is another than normal."""
    return film.finding is not None and film.finding.decision.answer != "normal"


def outline_of(film: ReportedFilm) -> tuple[tuple[float, float], ...]:
    """Return the outline of the breast, closed; empty without a finding."""
    points = film.finding.outline if film.finding else ()
    return closed(((float(x), float(y)) for x, y in points), film.header.size) if points else ()


def closed(points: Iterable[tuple[float, float]], size: tuple[int, int]) -> tuple[tuple[float, float], ...]:
    """Return points within an image (columns, rows), the first one again at the end."""
    width, height = size
    inside = [(min(max(x, 0.5), width - 0.5), min(max(y, 0.5), height - 0.5)) for x, y in points]
    return (*inside, inside[0])


def _to_film(film: ReportedFilm, points: Float64Array, size: tuple[int, ...]) -> tuple[tuple[float, float], ...]:
    """Scale points (n x 2) from the map (height, width) to the film."""
    width, height = film.header.size
    scaled = (points + 0.5) * (width / size[1], height / size[0])
    return closed(((float(x), float(y)) for x, y in scaled), film.header.size)[: len(points) + (len(points) > 1)]
