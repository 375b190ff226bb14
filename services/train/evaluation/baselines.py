"""Baselines of a run: the majority class, a logistic regression on features of photographs, and the ensemble."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from services.train.data.examples import Examples
from services.train.data.frozen_features import maps_in_cache
from services.train.data.inputs import RunImages, load_images
from services.train.data.run_split import run_split
from services.train.fitting.head_regression import balanced_regression
from services.train.fitting.initial_weights import initial_network
from services.train.fitting.scores import macro_auc
from services.train.jobs import TrainingJob, job_predictions
from shared.datasets.splits import Split
from shared.domain.arrays import Float32Array, Float64Array
from shared.domain.records import CLASSES
from shared.errors import WeightsUnavailable
from shared.imaging.preprocess import Preprocessing
from shared.modelling.calibration import calibrate, fit_temperature
from shared.modelling.evaluation import Baseline, WeightsReport
from shared.modelling.metrics import evaluate
from shared.modelling.network_table import TRANSFER_NETWORKS, Network
from shared.modelling.networks import MammogramNetwork
from shared.modelling.predictions import FoldPredictions, merge
from shared.runs.plan import SCRATCH, Plan
from shared.store.interface import ObjectStore

_log = logging.getLogger("mammostack.train")
_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
"""Values of C, of which validation films choose one. With a higher one, 2,048 features separate any 250 films."""
_BATCH = 16


def baselines(networks: Mapping[Network, FoldPredictions], regression: FoldPredictions | None) -> tuple[Baseline, ...]:
    """Evaluate the baselines on the held-out films of the patient protocol.

    Args:
        networks: each network's predictions for those films.
        regression: the logistic regression's, if there are any.
    """
    if not networks:
        return ()
    first = next(iter(networks.values()))
    rows = [
        Baseline(
            name="majority class",
            about="Always the commonest class, with the shares of the classes as probabilities.",
            metrics=evaluate(_majority(first)),
        )
    ]
    if regression:
        rows.append(
            Baseline(
                name="logistic regression",
                about="On features of a network that was trained on photographs and has seen no film.",
                metrics=evaluate(regression),
            )
        )
    if len(networks) > 1:
        rows.append(
            Baseline(
                name="ensemble",
                about=f"The mean of the probabilities of the {len(networks)} networks.",
                metrics=evaluate(_ensemble(list(networks.values()))),
            )
        )
    return tuple(rows)


def logistic_regression(store: ObjectStore, plan: Plan, device: torch.device) -> FoldPredictions | None:
    """Train the regression in every fold and predict the held-out films.

    It is trained on the films without their augmented copies; validation films choose C and calibrate it. None if no
    network of the run starts from pretrained weights, or if these are not available here.
    """
    kind = next((each for each in reversed(TRANSFER_NETWORKS) if plan.weights.get(each, SCRATCH) != SCRATCH), None)
    if kind is None:
        return None
    images = load_images(store, plan, Preprocessing(size=plan.training[kind].input_size))
    try:
        network, weights = initial_network(store, plan, kind, plan.seed)
    except WeightsUnavailable as error:  # the jobs had them: a report without this row is better than none
        _log.warning("no logistic regression", extra={"run": plan.run, "reason": str(error)})
        return None
    originals, frozen = np.array(images.originals(range(len(images.variants)))), plan.training[kind].frozen
    examples, done = images.examples(originals), 0
    if 0 < frozen <= len(_loaded(network, weights)):
        maps = maps_in_cache(network, frozen, images, device)
        if maps is not None:  # a job of this machine has computed them; those of all copies are too many to do it here
            examples, done = replace(examples, pool=maps), frozen
    of_originals = pooled_features(network.to(device), weights, examples, done)
    features = np.zeros((len(images.variants), of_originals.shape[1]), np.float32)
    features[originals] = of_originals
    jobs = [
        TrainingJob(network=kind, protocol=plan.honest or "patient", fold=fold)
        for fold in range(plan.folds * plan.repeats)
    ]
    return merge([_regress(features, images, job, run_split(store, plan, job, images)) for job in jobs])


def regression(strength: float) -> Pipeline:
    """Create an unfitted logistic regression on standardised features; `strength` is C."""
    return make_pipeline(StandardScaler(), balanced_regression(strength))


@torch.inference_mode()
def pooled_features(
    network: MammogramNetwork, weights: WeightsReport, examples: Examples, done: int = 0
) -> Float32Array:
    """Compute the spatial mean of the deepest feature map whose layers are all pretrained, n x C.

    Args:
        examples: films, or the maps that the first `done` layers have made of them.
    """
    network.eval()
    features = []
    indices = np.arange(len(examples.labels))
    for start in range(0, len(indices), _BATCH):
        inputs = examples.read(indices[start : start + _BATCH])
        maps: Tensor = torch.from_numpy(inputs).to(network.mean.device, torch.float32)
        maps = maps if done else network.normalise(maps)
        for layer in _loaded(network, weights)[done:]:
            maps = layer(maps)
        features.append(maps.mean((2, 3)).cpu().numpy())
    return np.concatenate(features)


def _loaded(network: MammogramNetwork, weights: WeightsReport) -> list[nn.Module]:
    """Return the first layers of a trunk, up to the first one that has weights that were not loaded."""
    layers: list[nn.Module] = []
    for name, layer in network.trunk.named_children():
        if any(f"{missing}.".startswith(f"trunk.{name}.") for missing in weights.missing):
            break
        layers.append(layer)
    return layers


def _regress(features: Float32Array, images: RunImages, job: TrainingJob, split: Split) -> FoldPredictions:
    labels = images.labels
    train = images.originals(split.train)

    def predict(model: Pipeline, places: npt.NDArray[np.intp]) -> Float64Array:
        rows = np.zeros((len(places), len(CLASSES)))
        rows[:, model.classes_] = model.predict_proba(features[places])  # a data set may have two classes
        return rows

    def validation_auc(model: Pipeline) -> float:
        return macro_auc(labels[split.validation], predict(model, split.validation)) or 0.0

    candidates = (regression(strength).fit(features[train], labels[train]) for strength in _STRENGTHS)
    best = max(candidates, key=validation_auc)
    temperature = fit_temperature(predict(best, split.validation), labels[split.validation])
    rows = calibrate(predict(best, split.test), temperature)
    return job_predictions(job, [images.variants[index] for index in split.test], rows)


def _majority(predictions: FoldPredictions) -> FoldPredictions:
    truth = predictions.truth
    shares = np.bincount(truth, minlength=len(CLASSES)) / len(truth)
    return predictions.with_rows(np.tile(shares, (len(truth), 1)))


def _ensemble(networks: Sequence[FoldPredictions]) -> FoldPredictions:
    """Average the networks' probabilities; they predict the same films in the same folds, in any order."""
    first, *_ = networks
    tables = [dict(zip(zip(each.folds, each.films, strict=True), each.rows, strict=True)) for each in networks]
    keys = zip(first.folds, first.films, strict=True)
    return first.with_rows(np.array([np.mean([table[key] for table in tables], axis=0) for key in keys]))
