"""Counts what the films of the last predictions look like, and how far that is from the training films."""

import threading
from collections import deque

import numpy as np

from shared import metrics
from shared.modelling.card import ModelCard
from shared.modelling.drift import MIN_FILMS, PARTS, TRAITS, TraitsOfFilm, part_of, psi

WINDOW = 1000
"""So many predictions are looked back at."""


class DriftWatch:
    """One for a process; a new version begins anew. A card without a distribution is not compared."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version = ""
        self._parts: deque[tuple[int, ...]] = deque(maxlen=WINDOW)

    def see(self, card: ModelCard, film: TraitsOfFilm) -> None:
        metrics.INPUT_BRIGHTNESS.labels(card.network).observe(film.brightness)
        metrics.INPUT_BREAST_AREA.labels(card.network).observe(film.breast_area)
        expected = card.inputs
        if expected is None:
            return
        parts = tuple(part_of(getattr(film, trait), getattr(expected, trait)) for trait in TRAITS)
        with self._lock:
            if self._version != card.version:
                self._version = card.version
                self._parts.clear()
            self._parts.append(parts)
            seen = np.array(self._parts)
        if len(seen) >= MIN_FILMS:
            for trait, column in zip(TRAITS, seen.T, strict=True):
                index = psi(np.bincount(column, minlength=PARTS))
                metrics.INPUT_DRIFT.labels(card.network, card.version, trait).set(index)
