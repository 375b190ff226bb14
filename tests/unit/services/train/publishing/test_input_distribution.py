"""What a card says of its training films is what serving would see of the same films."""

from pathlib import Path

import numpy as np
import pytest

from services.augment.tasks import AUGMENT
from services.segment.tasks import SEGMENT
from services.train.publishing.input_distribution import training_films, training_inputs
from shared.domain.films import FilmShard
from shared.imaging.formats.decode import decode
from shared.imaging.preprocess import Preprocessing, prepare_image
from shared.modelling import drift
from shared.modelling.drift import traits_of
from tests.support.builders import do, film_place, ingested, job_result, shard_place


class TestInputDistribution:
    def test_the_deciles_are_those_of_the_films_of_the_other_folds(
        self, tmp_path: Path, synthetic_films: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, plan = ingested(tmp_path, synthetic_films)
        for shard in plan.names("augment"):
            do(AUGMENT, store, plan, shard)
            do(SEGMENT, store, plan, shard)
        best = job_result("resnet50/patient/fold-0")
        films = training_films(store, plan, best)
        assert training_inputs(store, films) is None, "16 films are too few"

        for module in (drift, __import__("services.train.publishing.input_distribution", fromlist=["inputs"])):
            monkeypatch.setattr(module, "MIN_FILMS", 2)
        told = training_inputs(store, films)
        assert told
        assert 2 <= told.films == len(films) < 16

        served = []
        for name in plan.names("augment"):
            for film in FilmShard.model_validate_json(store.get(shard_place(store, name))).films:
                image = decode(store.get(film_place(store, film.id)))
                segmented = prepare_image(image, Preprocessing(size=64)).segmentation
                served.append(traits_of(segmented.film, segmented.mask, image.bits).brightness)
        assert np.min(served) <= min(told.brightness) <= max(told.brightness) <= np.max(served)
        assert sorted(told.breast_area) == list(told.breast_area)
        monkeypatch.setattr("services.train.publishing.input_distribution._MOST_FILMS", len(films) - 1)
        some = training_inputs(store, films)
        assert some
        assert some.films == len(films) - 1
        assert some.brightness != told.brightness
