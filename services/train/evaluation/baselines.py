"""What a trained network has to beat: always the same answer, and a logistic regression on features that were never
trained on films; and the ensemble, which is what the networks give together."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from services.train.data.inputs import Images, job_split, load_images
from services.train.fitting.head_regression import balanced_regression
from services.train.fitting.initial_weights import starting_network
from services.train.fitting.scores import macro_auc
from services.train.jobs import Job, predictions_of
from shared.domain.arrays import Float32Array
from shared.domain.records import CLASSES
from shared.errors import WeightsUnavailable
from shared.imaging.preprocess import Preprocessing
from shared.modelling.calibration import calibrate, fit_temperature
from shared.modelling.evaluation import Baseline, WeightsReport
from shared.modelling.metrics import evaluate
from shared.modelling.network_table import TRANSFER_NETWORKS, Network
from shared.modelling.networks import MammogramNetwork
from shared.modelling.predictions import Predictions, merge
from shared.runs.plan import SCRATCH, Plan
from shared.store.interface import ObjectStore

_log = logging.getLogger("mammostack.train")
_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
"""Of the regression; the validation films choose. With more, 2,048 features tell any 250 films apart."""
_BATCH = 16


def baselines(judged: Mapping[Network, Predictions], frozen: Predictions | None) -> tuple[Baseline, ...]:
    """The rows beside the networks, from what each gave the held-out films of the patient protocol."""
    if not judged:
        return ()
    first = next(iter(judged.values()))
    found = [
        Baseline(
            name="majority class",
            about="Always the commonest class, with the shares of the classes as probabilities.",
            metrics=evaluate(_majority(first)),
        )
    ]
    if frozen:
        found.append(
            Baseline(
                name="logistic regression",
                about="On features of a network that was trained on photographs and has seen no film.",
                metrics=evaluate(frozen),
            )
        )
    if len(judged) > 1:
        found.append(
            Baseline(
                name="ensemble",
                about=f"The mean of the probabilities of the {len(judged)} networks.",
                metrics=evaluate(_ensemble(list(judged.values()))),
            )
        )
    return tuple(found)


def logistic_regression(store: ObjectStore, plan: Plan, device: torch.device) -> Predictions | None:
    """What it gives the held-out films of every fold; None where no network of the run starts from ImageNet, or its
    weights can't be had here.

    Trained on the films themselves, without their variants; the validation films choose how strongly it is held back,
    and calibrate it.
    """
    kind = next((each for each in reversed(TRANSFER_NETWORKS) if plan.weights.get(each, SCRATCH) != SCRATCH), None)
    if kind is None:
        return None
    images = load_images(store, plan, Preprocessing(size=plan.training[kind].input_size))
    try:
        network, weights = starting_network(store, plan, kind, plan.seed)
    except WeightsUnavailable as error:  # the jobs had them; a report without this row is better than none
        _log.warning("no logistic regression", extra={"run": plan.run, "reason": str(error)})
        return None
    films = np.array([index for index, image in enumerate(images.variants) if image.variant == 0])
    features = frozen_features(network.to(device), weights, images.inputs[films])
    table = np.zeros((len(images.variants), features.shape[1]), np.float32)
    table[films] = features
    jobs = [Job(network=kind, protocol="patient", fold=fold) for fold in range(plan.folds * plan.repeats)]
    return merge([_regress(table, images, plan, job) for job in jobs])


def regression(strength: float) -> Pipeline:
    """Not fitted yet; on features of one scale."""
    return make_pipeline(StandardScaler(), balanced_regression(strength))


@torch.inference_mode()
def frozen_features(network: MammogramNetwork, weights: WeightsReport, inputs: Float32Array) -> Float32Array:
    """The mean of the deepest map of which every layer was loaded, N x C."""
    network.eval()
    parts = []
    for first in range(0, len(inputs), _BATCH):
        maps: Tensor = torch.from_numpy(inputs[first : first + _BATCH]).to(network.mean.device)
        maps = (maps - network.mean) / network.deviation
        for name, layer in network.trunk.named_children():
            if any(f"{missing}.".startswith(f"trunk.{name}.") for missing in weights.missing):
                break
            maps = layer(maps)
        parts.append(maps.mean((2, 3)).cpu().numpy())
    return np.concatenate(parts)


def _regress(features: Float32Array, images: Images, plan: Plan, job: Job) -> Predictions:
    split = job_split(images.variants, plan, job)
    labels = np.array([CLASSES.index(image.label) for image in images.variants])
    train = [index for index in split.train if images.variants[index].variant == 0]

    def fitted(strength: float) -> Pipeline:
        return regression(strength).fit(features[train], labels[train])

    def on_validation(model: Pipeline) -> float:
        return macro_auc(labels[split.validation], model.predict_proba(features[split.validation])) or 0.0

    best = max((fitted(strength) for strength in _STRENGTHS), key=on_validation)
    temperature = fit_temperature(best.predict_proba(features[split.validation]), labels[split.validation])
    rows = calibrate(best.predict_proba(features[split.test]), temperature)
    return predictions_of(job, [images.variants[index] for index in split.test], rows)


def _majority(judged: Predictions) -> Predictions:
    shares = np.bincount(judged.truth, minlength=len(CLASSES)) / len(judged.truth)
    return judged.with_rows(np.tile(shares, (len(judged.truth), 1)))


def _ensemble(judged: Sequence[Predictions]) -> Predictions:
    """Networks are asked about the same films in the same folds, though not in the same order."""
    first, *_ = judged
    tables = [dict(zip(zip(each.folds, each.films, strict=True), each.rows, strict=True)) for each in judged]
    asked = zip(first.folds, first.films, strict=True)
    return first.with_rows(np.array([np.mean([table[key] for table in tables], axis=0) for key in asked]))
