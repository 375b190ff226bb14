"""From a file to a prediction: what waiting is told as, before a film is prepared and before the network."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from services.inference.admission.batching import NetworkOutput
from services.inference.serving.model_loader import load_model
from services.inference.serving.predictor import ServedModel, predict
from shared.domain.arrays import Float32Array
from shared.imaging.formats.decode import encode_png
from shared.store.interface import ObjectStore
from tests.support.published import NETWORK


@pytest.fixture
def model(store: ObjectStore) -> ServedModel:
    return load_model(store, NETWORK, "v1", threads=1)


class Busy:
    """An engine at which a film waits before it is prepared, and before the network."""

    def __init__(self, model: ServedModel) -> None:
        self.engine = model.engine

    def run(self, films: Float32Array, *, alone: bool = False) -> NetworkOutput:
        time.sleep(0.3)
        return replace(self.engine.run(films, alone=alone), waited_s=0.3)

    def run_prepared(self, prepare: Callable[[], Float32Array], *, alone: bool = False) -> NetworkOutput:
        time.sleep(0.2)
        return self.run(prepare(), alone=alone)

    def logits(self, films: Float32Array) -> Float32Array:
        return self.run(films).logits


def test_waiting_is_told_as_waiting_and_as_no_time_of_another_phase(model: ServedModel, film: np.ndarray) -> None:
    data = encode_png(film)
    assert predict(model, data).seconds["queue"] < 0.1
    began = time.perf_counter()
    seconds = predict(replace(model, engine=Busy(model)), data).seconds
    took = time.perf_counter() - began
    assert seconds["queue"] >= 0.5
    assert sum(seconds.values()) <= took
    assert all(0 <= seconds[phase] <= took - 0.5 for phase in ("decode", "segment", "network"))
