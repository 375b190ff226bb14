"""A training job as its worker does it: its result, its progress, and no checkpoint left."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from services.augment.tasks import AUGMENT
from services.segment.tasks import SEGMENT
from services.train.data.inputs import load_images
from services.train.fitting.predict import predict
from services.train.fitting.serialise import network_from_bytes
from services.train.fold import train_fold
from services.train.jobs import CHECKPOINT, PROGRESS, JobResult, result_is_intact, weights_key
from shared.datasets.synthetic import write_dataset
from shared.imaging.preprocess import Preprocessing
from shared.modelling.networks import build
from shared.modelling.profiles import PROFILES
from shared.queue.claim import claimed
from shared.runs.plan import SCRATCH
from shared.runs.status import JobProgress
from shared.runs.tasks import ClaimedJob
from shared.settings import ComputeSettings, StoreSettings, TrainingProcessSettings, TrainingSettings
from shared.store import layout
from tests.support.builders import do, ingested
from tests.support.settings import NO_BROKER

JOB = "modified_cnn/patient/fold-0"


def training(**fields: int) -> TrainingProcessSettings:
    """Settings of a training worker; `fields` are those of TrainingSettings."""
    return TrainingProcessSettings(
        store=StoreSettings(url="unused"),
        broker=NO_BROKER,
        compute=ComputeSettings(cpu_threads=2),
        training=TrainingSettings(**fields),
    )


class TestTrainFold:
    @pytest.mark.external
    def test_two_processes_train_a_network_for_their_worker(self, tmp_path: Path, synthetic_films: Path) -> None:
        store, plan = ingested(tmp_path, synthetic_films)
        trained = {"networks": ("modified_cnn",), "protocols": ("patient",), "weights": {"modified_cnn": SCRATCH}}
        plan = plan.model_copy(update={**trained, "training": PROFILES["test"].training})
        for shard in plan.names("augment"):
            do(AUGMENT, store, plan, shard)
            do(SEGMENT, store, plan, shard)
        with claimed(store, layout.claim(plan.run, "train", JOB), plan.done_key("train", JOB)) as fenced:
            train_fold(ClaimedJob(fenced, plan, JOB, stopping=lambda: False), training(processes=2))
        result = JobResult.model_validate_json(store.get(plan.done_key("train", JOB)))
        assert result_is_intact(store, plan, JOB)
        assert len(result.history.epochs) == plan.training["modified_cnn"].epochs
        assert store.exists(weights_key(plan, result))
        assert not store.exists(layout.fold_file(plan.run, JOB, CHECKPOINT))
        progress = JobProgress.model_validate_json(store.get(layout.fold_file(plan.run, JOB, PROGRESS)))
        assert progress.train_loss == result.history.epochs[-1].train_loss

    def test_a_head_is_fitted_at_once_behind_frozen_stages(self, tmp_path: Path) -> None:
        write_dataset(tmp_path / "films", 16, seed=7)
        store, plan = ingested(tmp_path / "store", tmp_path / "films")
        torch.manual_seed(0)
        theirs = {
            name.removeprefix("trunk."): value for name, value in build("resnet50", "layer3").state_dict().items()
        }
        store.put("weights/trunk.safetensors", save(theirs))
        recipe = PROFILES["lesions"].training["resnet50"].model_copy(update={"input_size": 64})
        trained = {"networks": ("resnet50",), "protocols": ("patient",), "training": {"resnet50": recipe}}
        plan = plan.model_copy(update={**trained, "weights": {"resnet50": "weights/trunk.safetensors"}})
        for shard in plan.names("augment"):
            do(AUGMENT, store, plan, shard)
            do(SEGMENT, store, plan, shard)
        job = "resnet50/patient/fold-0"
        with claimed(store, layout.claim(plan.run, "train", job), plan.done_key("train", job)) as fenced:
            train_fold(ClaimedJob(fenced, plan, job, stopping=lambda: False), training())
        result = JobResult.model_validate_json(store.get(plan.done_key("train", job)))
        assert result_is_intact(store, plan, job)
        (epoch,) = result.history.epochs
        assert epoch.learning_rate == 0
        assert result.validation_auc == epoch.validation_auc
        assert len(result.predictions.films) == result.history.test_films
        network = network_from_bytes("resnet50", store.get(weights_key(plan, result)))
        films = load_images(store, plan, Preprocessing(size=64))
        known = {image.film: n for n, image in enumerate(films.variants) if image.variant == 0}
        held_out = films.examples(np.array([known[film] for film in result.predictions.films]))
        whole = predict(network, held_out, 8, torch.device("cpu"))
        assert np.allclose(result.predictions.rows, whole, atol=1e-3), "the maps of frozen stages change nothing"
