"""Drift is told once enough films were seen, begins anew with a version, and is not told without a distribution."""

import numpy as np
import pytest
from prometheus_client import REGISTRY

from services.inference.drift import WINDOW, DriftMonitor
from shared.modelling.drift import MIN_FILMS, TraitsOfFilm, distribution
from tests.support.builders import model_card


def films(count: int, mean: float, seed: int = 5) -> list[TraitsOfFilm]:
    values = np.random.default_rng(seed).normal(mean, 0.05, (count, 2)).clip(0, 1)
    return [TraitsOfFilm(brightness=float(a), breast_area=float(b)) for a, b in values]


def told(version: str, trait: str = "brightness") -> float | None:
    labels = {"model_name": "resnet50", "model_version": version, "trait": trait}
    return REGISTRY.get_sample_value("mammo_input_drift_psi", labels)


class TestDriftMonitor:
    def test_it_is_told_once_enough_films_were_seen_and_rises_when_they_change(self) -> None:
        watch, card = DriftMonitor(), model_card(version="drift-1", inputs=distribution(films(300, 0.4, seed=1)))
        for film in films(MIN_FILMS - 1, 0.4):
            watch.observe(card, film)
        assert told("drift-1") is None
        for film in films(300, 0.4):
            watch.observe(card, film)
        assert told("drift-1") == pytest.approx(0, abs=0.15)
        for film in films(300, 0.6):
            watch.observe(card, film)
        assert told("drift-1", "breast_area") > 0.5  # type: ignore[operator]

    def test_another_version_begins_anew(self) -> None:
        watch, inputs = DriftMonitor(), distribution(films(300, 0.4, seed=1))
        before = model_card(version="drift-2", inputs=inputs)
        for film in films(MIN_FILMS, 0.7):
            watch.observe(before, film)
        watch.observe(model_card(version="drift-3", inputs=inputs), films(1, 0.4)[0])
        assert told("drift-2") > 1  # type: ignore[operator]
        assert told("drift-3") is None

    def test_a_card_without_a_distribution_is_not_compared(self) -> None:
        watch, card = DriftMonitor(), model_card(version="drift-4")
        for film in films(MIN_FILMS + 1, 0.4):
            watch.observe(card, film)
        assert told("drift-4") is None

    def test_what_lies_farther_back_than_the_window_is_forgotten(self) -> None:
        watch, card = DriftMonitor(), model_card(version="drift-5", inputs=distribution(films(300, 0.4, seed=1)))
        for film in films(MIN_FILMS, 0.7):
            watch.observe(card, film)
        assert told("drift-5") > 1  # type: ignore[operator]
        for film in films(WINDOW, 0.4):
            watch.observe(card, film)
        forgotten = told("drift-5")
        watch, card = DriftMonitor(), card.model_copy(update={"version": "drift-6"})
        for film in films(WINDOW, 0.4):
            watch.observe(card, film)
        assert forgotten == told("drift-6")
