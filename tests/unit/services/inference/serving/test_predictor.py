"""From a file to a prediction: the time of each phase."""

import time
from dataclasses import replace

import numpy as np
import pytest

from services.inference.serving.model_loader import WantedEngine, load_model
from services.inference.serving.predictor import ServedModel, predict
from shared.domain.arrays import Float32Array
from shared.imaging.formats.decode import encode_png
from shared.modelling.engines.interface import NetworkOutput
from shared.store.interface import ObjectStore
from tests.support.published import NETWORK


@pytest.fixture
def model(store: ObjectStore) -> ServedModel:
    return load_model(store, NETWORK, "v1", WantedEngine(1, "onnx"))


class SlowEngine:
    def __init__(self, model: ServedModel) -> None:
        self._engine = model.engine

    def run(self, films: Float32Array, *, alone: bool = False) -> NetworkOutput:
        time.sleep(0.3)
        return self._engine.run(films, alone=alone)


class TestPredict:
    def test_the_time_of_each_phase_is_its_own(self, model: ServedModel, film: np.ndarray) -> None:
        data = encode_png(film)
        began = time.perf_counter()
        seconds = predict(replace(model, engine=SlowEngine(model)), data).seconds
        took = time.perf_counter() - began
        assert list(seconds) == ["decode", "segment", "network"]
        assert seconds["network"] >= 0.3
        assert sum(seconds.values()) <= took
        assert all(0 < seconds[phase] <= took - 0.3 for phase in ("decode", "segment"))
