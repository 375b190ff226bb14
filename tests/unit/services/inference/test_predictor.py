"""From a file to a prediction: what waiting is told of, and by which bounds films wait."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from services.inference.models import load_model
from services.inference.predictor import Bounds, ServedModel, predict
from services.inference.together import Answer, Floats
from shared.imaging.decode import encode_png
from shared.store.objects import ObjectStore
from tests.unit.services.inference.conftest import NETWORK


@pytest.fixture
def model(store: ObjectStore) -> ServedModel:
    return load_model(store, NETWORK, "v1", threads=1)


@contextmanager
def turn_after(seconds: float, turns: list[str], name: str) -> Iterator[None]:
    time.sleep(seconds)
    turns.append(f"{name} begins")
    yield
    turns.append(f"{name} ends")


def test_a_film_waits_before_it_is_decoded_and_before_it_is_segmented_and_that_is_told_as_waiting(
    model: ServedModel, film: np.ndarray
) -> None:
    turns: list[str] = []
    data = encode_png(film)
    assert predict(model, data).seconds["queue"] < 0.1
    bounds = Bounds(turn_after(0.2, turns, "decoding"), turn_after(0.3, turns, "segmenting"))
    began = time.perf_counter()
    seconds = predict(model, data, bounds=bounds).seconds
    assert turns == ["decoding begins", "decoding ends", "segmenting begins", "segmenting ends"]
    assert seconds["queue"] >= 0.5
    assert sum(seconds.values()) <= time.perf_counter() - began
    assert all(seconds[phase] >= 0 for phase in ("decode", "segment", "network"))


def test_waiting_for_the_network_is_no_time_of_the_network(model: ServedModel, film: np.ndarray) -> None:
    class Busy:
        def run(self, films: Floats, *, alone: bool = False) -> Answer:
            time.sleep(0.3)
            return replace(model.engine.run(films, alone=alone), waited_s=0.3)

        def logits(self, films: Floats) -> Floats:
            return self.run(films).logits

    began = time.perf_counter()
    seconds = predict(replace(model, engine=Busy()), encode_png(film)).seconds
    assert seconds["queue"] >= 0.3
    assert 0 < seconds["network"] <= time.perf_counter() - began - 0.3
