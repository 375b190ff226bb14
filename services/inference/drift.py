"""Measure the distribution of recent films and its distance from training films."""

import threading
from collections import deque

import numpy as np

from shared import metrics
from shared.modelling.card import ModelCard
from shared.modelling.drift import MIN_FILMS, PARTS, TRAITS, TraitsOfFilm, part_of, psi

WINDOW = 1000
"""So many predictions are looked back at."""

_EACH = range(len(TRAITS))


class DriftMonitor:
    """One for a process; a new version begins anew. A card without a distribution is not compared."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version = ""
        self._parts: deque[list[int]] = deque()
        self._counts = np.zeros((len(TRAITS), PARTS), np.int64)

    def observe(self, card: ModelCard, film: TraitsOfFilm) -> None:
        metrics.INPUT_BRIGHTNESS.labels(card.network).observe(film.brightness)
        metrics.INPUT_BREAST_AREA.labels(card.network).observe(film.breast_area)
        expected = card.inputs
        if expected is None:
            return
        parts = [part_of(getattr(film, trait), getattr(expected, trait)) for trait in TRAITS]
        with self._lock:
            if self._version != card.version:
                self._version = card.version
                self._parts.clear()
                self._counts[:] = 0
            self._parts.append(parts)
            self._counts[_EACH, parts] += 1
            if len(self._parts) > WINDOW:
                self._counts[_EACH, self._parts.popleft()] -= 1
            films, counts = len(self._parts), self._counts.copy()
        if films >= MIN_FILMS:
            for trait, of_trait in zip(TRAITS, counts, strict=True):
                metrics.INPUT_DRIFT.labels(card.network, card.version, trait).set(psi(of_trait))
