"""`make canary`: labels that mean nothing, by both protocols. A protocol that finds something in them leaks.

Each patient's labels are given to another patient, so that no film tells its label any more. Under `patient` the areas
must come out at chance, 0.5 within their intervals; under `paper` a network that is trained for long enough knows the
films again that it was trained on, and must come out far above. Films are generated; with MAMMO_TEST_MIAS real ones are
taken. The figures of a real model deserve trust where both hold.
"""

import argparse
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from services.augment.tasks import AUGMENT
from services.segment.tasks import SEGMENT
from services.train.data.inputs import RunImages, job_split, load_images
from services.train.fitting.fit import FitContext, fit
from services.train.fitting.predict import predict
from services.train.jobs import job_predictions, parse_job
from shared.datasets.mias import Source
from shared.domain.records import Label
from shared.imaging.preprocess import Preprocessing
from shared.modelling.bootstrap import Interval
from shared.modelling.metrics import ModelMetrics, evaluate
from shared.modelling.networks import build
from shared.modelling.predictions import merge
from shared.modelling.profiles import PROFILES
from shared.modelling.recipes import AugmentationRecipe, Protocol, TrainingRecipe
from shared.runs.plan import Plan, RunOptions, make_plan
from shared.store.directory import DirectoryStore
from shared.store.ingest import ingest
from tests.bench.dataset import write_source
from tests.support.builders import do

# Variants that turn little: the network is to know its films again soon. It has no share in what `patient` gives.
GENTLE = AugmentationRecipe(
    name="canary", variants=8, rotation_deg=4, shift=0.01, elastic=0, brightness=0.05, contrast=0.05, mirror=False
)
RECIPE = TrainingRecipe(input_size=64, epochs=12, batch_size=16, learning_rate=2e-3, label_smoothing=0)
FOLDS, SEED = 3, 7


def films(folder: Path, source: Path) -> tuple[Plan, RunImages]:
    """The segmented variants of all films, labels as they are."""
    store = DirectoryStore(folder)
    dataset = ingest(store, Source(source), "films").dataset
    profile = PROFILES["quick"].model_copy(update={"augmentation": GENTLE, "folds": FOLDS})
    plan = make_plan(
        dataset,
        profile,
        RunOptions(networks=("modified_cnn",), protocols=("patient", "paper"), weights={}, promote=(), seed=SEED),
    )
    for shard in plan.names("augment"):
        do(AUGMENT, store, plan, shard)
        do(SEGMENT, store, plan, shard)
    return plan, load_images(store, plan, Preprocessing(size=RECIPE.input_size))


def shuffled(images: RunImages, seed: int) -> RunImages:
    """Every patient gets the labels of another one with as many films."""
    labels: dict[str, dict[str, Label]] = defaultdict(dict)
    for image in images.variants:
        labels[image.patient][image.film] = image.label
    given: dict[str, Label] = {}
    shuffle = np.random.default_rng(seed)
    for count in {len(of_patient) for of_patient in labels.values()}:
        alike = [patient for patient in labels if len(labels[patient]) == count]
        for patient, other in zip(alike, shuffle.permutation(alike), strict=True):
            given |= dict(zip(labels[patient], labels[other].values(), strict=True))
    return replace(
        images, variants=tuple(image.model_copy(update={"label": given[image.film]}) for image in images.variants)
    )


def judged(images: RunImages, plan: Plan, protocol: Protocol, recipe: TrainingRecipe) -> ModelMetrics:
    """What comes out when a network is trained and tested by a protocol."""
    found = []
    for fold in range(plan.folds if protocol == "patient" else 1):
        job = parse_job(f"modified_cnn/{protocol}/fold-{fold}")
        split = job_split(images.variants, plan, job)
        torch.manual_seed(SEED + fold)
        fitted = fit(
            build("modified_cnn"),
            recipe,
            images.examples(split.train),
            images.examples(split.validation),
            FitContext(pretrained=False, seed=SEED + fold, device=torch.device("cpu"), on_epoch=lambda _: None),
        )
        rows = predict(fitted.network, images.examples(split.test), recipe.batch_size, torch.device("cpu"))
        found.append(job_predictions(job, [images.variants[index] for index in split.test], rows))
    return evaluate(merge(found))


def at_chance(area: Interval) -> bool:
    return area.low is not None and area.high is not None and area.low <= 0.5 <= area.high


def above_chance(area: Interval) -> bool:
    return area.low is not None and area.low > 0.5


def main() -> None:
    """Prints both and exits with 1 where one is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=24, help="generated patients, two films each")
    parser.add_argument("--epochs", type=int, default=RECIPE.epochs)
    arguments = parser.parse_args()
    recipe = RECIPE.model_copy(update={"epochs": arguments.epochs})
    with tempfile.TemporaryDirectory() as folder:
        kind = write_source(Path(folder) / "films", arguments.patients, SEED)
        plan, images = films(Path(folder) / "store", Path(folder) / "films")
        images = shuffled(images, SEED)
        print(
            f"labels shuffled by patient; {len(images.variants)} images of {plan.films} {kind}, {recipe.epochs} epochs"
        )
        right = True
        for protocol, holds, wanted in (
            ("patient", at_chance, "0.5 within the interval"),
            ("paper", above_chance, "above 0.5: it leaks"),
        ):
            area = judged(images, plan, protocol, recipe).macro_auc
            good = holds(area)
            right &= good
            print(
                f"{'good' if good else 'BAD '}  {protocol:8} macro AUC {area.value:.3f} "
                f"[{area.low:.3f}, {area.high:.3f}]; wanted: {wanted}"
            )
    raise SystemExit(0 if right else 1)


if __name__ == "__main__":
    main()
