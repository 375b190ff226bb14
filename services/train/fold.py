"""One fold of a run: prepare, fit, evaluate and store one network."""

import time
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from services.train.data.batches import class_weights
from services.train.data.examples import Examples
from services.train.data.frozen_features import frozen_feature_maps
from services.train.data.inputs import RunImages, load_images, load_place_labels
from services.train.data.lesion_targets import breast_mask
from services.train.data.run_split import run_split
from services.train.distributed.setup import fit_function, training_device
from services.train.fitting.fit import FitContext, FitResult
from services.train.fitting.head_regression import fit_head
from services.train.fitting.initial_weights import initial_network
from services.train.fitting.predict import predict
from services.train.fitting.prior_correction import restore_class_priors
from services.train.fitting.serialise import network_to_bytes
from services.train.fitting.unfreezing import trainable_part
from services.train.jobs import (
    CHECKPOINT,
    JobResult,
    TrainingJob,
    job_identity,
    job_predictions,
    parse_job,
    weights_key,
)
from services.train.progress import checkpoint_writer, read_checkpoint, report_epoch
from services.train.tracking import track_epochs
from shared.datasets.splits import Split
from shared.digests import sha256_hex
from shared.imaging.preprocess import Preprocessing
from shared.modelling.calibration import fit_temperature
from shared.modelling.evaluation import EpochRecord, FoldHistory, WeightsReport
from shared.modelling.networks import MammogramNetwork, map_edge, parameter_count
from shared.modelling.predictions import FoldPredictions
from shared.modelling.recipes import HONEST, TrainingRecipe
from shared.runs.pipeline import set_aside
from shared.runs.sources import check_trained_images
from shared.runs.tasks import ClaimedJob
from shared.settings import TrainingProcessSettings
from shared.store import layout
from shared.store.documents import document


@dataclass(frozen=True)
class PreparedFold:
    """Everything that a fold is trained from.

    `trainable` is the part of `network` that is trained. `train` and `validation` hold its inputs: films, or feature
    maps of frozen stages.
    """

    job: TrainingJob
    recipe: TrainingRecipe
    seed: int
    device: torch.device
    images: RunImages
    split: Split
    network: MammogramNetwork
    weights: WeightsReport
    trainable: MammogramNetwork
    train: Examples
    validation: Examples

    @property
    def has_frozen_stages(self) -> bool:
        """Return True if only a part of the network is trained."""
        return self.trainable is not self.network


def train_fold(claimed: ClaimedJob, settings: TrainingProcessSettings) -> None:
    """Train one network on one split, and store its result and, under the patient protocol, its weights.

    A checkpoint is stored at intervals and when the job has to stop; the next worker resumes from it.
    """
    began = time.monotonic()
    claimed.store.discard_partial(layout.fold_file(claimed.plan.run, claimed.unit, ""))
    fold = prepare_fold(claimed, training_device(settings.compute, settings.training))
    trained = fit_fold(claimed, fold, settings)
    store_fold(claimed, fold, evaluate_fold(fold, trained, began))


def prepare_fold(claimed: ClaimedJob, device: torch.device) -> PreparedFold:
    """Load and split the images of a run, and create the network with its initial weights."""
    store, plan, job = claimed.store, claimed.plan, parse_job(claimed.unit)
    recipe, seed = plan.training[job.network], plan.seed + job.fold
    images = load_images(store, plan, Preprocessing(size=recipe.input_size))
    check_trained_images(store, plan, images.sha256)
    for shard, films in images.set_aside.items():
        set_aside(store, plan, shard, films)
    split = run_split(store, plan, job, images)
    network, weights = initial_network(store, plan, job.network, seed)
    trainable = trainable_part(network, recipe, pretrained=bool(weights.loaded))
    frozen = trainable is not network
    pool = frozen_feature_maps(network, recipe.frozen, images, device, claimed.stopping) if frozen else images.inputs
    places = load_place_labels(store, images, map_edge(network, recipe.input_size)) if recipe.lesion_weight else None
    return PreparedFold(
        job=job,
        recipe=recipe,
        seed=seed,
        device=device,
        images=images,
        split=split,
        network=network,
        weights=weights,
        trainable=trainable,
        train=replace(images.examples(split.train), pool=pool, place_labels=places),
        validation=replace(images.examples(split.validation), pool=pool),
    )


def fit_fold(claimed: ClaimedJob, fold: PreparedFold, settings: TrainingProcessSettings) -> FitResult:
    """Fit the network of a fold, from its checkpoint if there is one, and report every epoch."""
    plan, job, recipe = claimed.plan, fold.job, fold.recipe
    identity = job_identity(job, plan, fold.images.sha256)
    start = read_checkpoint(claimed, identity)
    done = len(start.progress.epochs) if start else 0
    with track_epochs(settings.training, plan.run, job.name, recipe, done=done) as track:

        def on_epoch(epoch: EpochRecord) -> None:
            report_epoch(claimed.store, plan, job, epoch, images=len(fold.split.train))
            track(epoch)

        context = FitContext(
            pretrained=bool(fold.weights.loaded),
            seed=fold.seed,
            device=fold.device,
            on_epoch=on_epoch,
            start=start,
            on_checkpoint=checkpoint_writer(claimed, identity, settings.training.checkpoint_every_s),
            stopping=claimed.stopping,
        )
        if recipe.regression and fold.has_frozen_stages:
            inside = breast_mask(fold.images.inputs, fold.split.train, fold.train.pool.shape[-1])
            trained = fit_head(fold.trainable, recipe, fold.train, fold.validation, inside, context)
        else:
            fit = fit_function(settings.compute, settings.training, job.network, recipe, fold.trainable, fold.device)
            trained = fit(fold.trainable, recipe, fold.train, fold.validation, context)
    restore_class_priors(fold.network, class_weights(fold.train.labels))
    return trained


def evaluate_fold(fold: PreparedFold, trained: FitResult, began: float) -> JobResult:
    """Predict the validation and held-out films, from the maps of frozen stages; `model_sha256` is not set yet."""
    job, images, split, recipe = fold.job, fold.images, fold.split, fold.recipe

    def predictions(indices: npt.NDArray[np.intp]) -> FoldPredictions:
        examples = replace(images.examples(indices), pool=fold.train.pool)
        probabilities = predict(fold.trainable, examples, recipe.batch_size, fold.device)
        return job_predictions(job, [images.variants[index] for index in indices], probabilities)

    validation = predictions(split.validation)
    history = FoldHistory(
        fold=job.fold,
        epochs=trained.epochs,
        best_epoch=trained.best_epoch,
        train_images=len(split.train),
        validation_films=len(split.validation),
        test_films=len(split.test),
        seconds=time.monotonic() - began,
        number_format=trained.number_format,
    )
    return JobResult(
        job=job,
        history=history,
        predictions=predictions(split.test),
        validation=validation,
        temperature=fit_temperature(validation.rows, validation.truth),
        weights=fold.weights,
        parameters=parameter_count(fold.network),
        input_size=recipe.input_size,
        validation_auc=trained.best_auc,
        validation_loss=trained.epochs[trained.best_epoch - 1].validation_loss,
        data_sha256=images.sha256,
        model_sha256=None,
    )


def store_fold(claimed: ClaimedJob, fold: PreparedFold, result: JobResult) -> None:
    """Store the weights, except under the leaky protocol, and the result last; delete the checkpoint."""
    store, plan = claimed.store, claimed.plan
    if fold.job.protocol in HONEST:
        weights = network_to_bytes(fold.network)
        result = result.model_copy(update={"model_sha256": sha256_hex(weights)})
        store.put(weights_key(plan, result), weights)
    store.delete(layout.fold_file(plan.run, fold.job.name, CHECKPOINT))
    store.finish(document(result))
