"""`make experiments`: what features of a network that has seen no film tell of films, by input size, depth and pooling.

A logistic regression on frozen features costs minutes where training costs hours, and says which inputs hold anything
to learn from. Every figure is of validation films alone, those of all folds together: held-out films have no say in
what is kept. MAMMO_TEST_MIAS names a copy of MIAS, without which films are generated.
"""

import argparse
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from services.train.baselines import regression
from services.train.core import Floats
from services.train.data import NEXT_DIVISION
from services.train.jobs import Job, predictions_of
from shared.datasets.manifest import CLASSES, Film, Label, Transform, Variant
from shared.datasets.mias import Source
from shared.datasets.splits import patient_split
from shared.imaging.decode import decode
from shared.imaging.image import Pixels
from shared.imaging.preprocess import Preprocessing, network_input
from shared.imaging.segment import segment
from shared.modelling.metrics import Interval, evaluate
from shared.modelling.networks import MammogramNetwork, build
from shared.modelling.predictions import Predictions, merge
from shared.modelling.weights import from_file, load_into
from shared.store import keys
from shared.store.ingest import ingest, stored_manifest
from shared.store.objects import DirectoryStore
from tests.bench.dataset import write_source

STAGES = ("layer2", "layer3")
POOLINGS = ("mean", "mean and largest")
STRENGTH = 1e-4
FOLDS, REPEATS, SEED, BATCH = 5, 3, 7, 8


def films(source: Path, folder: Path) -> tuple[list[Film], list[tuple[Pixels, "np.typing.NDArray[np.uint8]"]]]:
    """All films, and each one segmented: film and mask."""
    store = DirectoryStore(folder)
    ingest(store, Source(source), "films")
    known = list(stored_manifest(store, "films").films)
    images = [decode(store.get(keys.raw_film("films", film.id))) for film in known]
    segmented = [segment(image.pixels, image.bits) for image in images]
    return known, [(each.film, each.mask) for each in segmented]


@torch.inference_mode()
def features(network: MammogramNetwork, inputs: Floats) -> dict[tuple[str, str], Floats]:
    """By stage and pooling, N x C."""
    parts: dict[tuple[str, str], list[Floats]] = {}
    for first in range(0, len(inputs), BATCH):
        maps: Tensor = (torch.from_numpy(inputs[first : first + BATCH]) - network.mean) / network.deviation
        for name, layer in network.trunk.named_children():
            if name == "layer4":
                break
            maps = layer(maps)
            if name in STAGES:
                mean, largest = maps.mean((2, 3)), maps.amax((2, 3))
                pooled = (mean.numpy(), torch.cat([mean, largest], 1).numpy())
                for pooling, values in zip(POOLINGS, pooled, strict=True):
                    parts.setdefault((name, pooling), []).append(values)
    return {key: np.concatenate(values) for key, values in parts.items()}


def validated(known: list[Film], table: Floats) -> Predictions:
    """What the regression gives the validation films of every fold of every division."""
    images = [
        Variant(
            **film.model_dump(include={"patient", "side", "density", "label", "lesions", "sha256"}),
            film=film.id,
            variant=0,
            transform=Transform(),
            key=film.id,
        )
        for film in known
    ]
    labels = np.array([CLASSES.index(film.label) for film in known])
    return merge(list(_folds(images, labels, table)))


def _folds(images: list[Variant], labels: "np.typing.NDArray[np.int64]", table: Floats) -> Iterator[Predictions]:
    for repeat, fold in product(range(REPEATS), range(FOLDS)):
        split = patient_split(images, FOLDS, fold, SEED + NEXT_DIVISION * repeat)
        model = regression(STRENGTH).fit(table[split.train], labels[split.train])
        job = Job(network="resnet50", protocol="patient", fold=FOLDS * repeat + fold)
        rows = model.predict_proba(table[split.validation])
        yield predictions_of(job, [images[index] for index in split.validation], rows)


def shown(area: Interval) -> str:
    return f"{area.value:.3f} [{area.low:.3f}, {area.high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="ImageNet weights of ResNet-50; without them, random ones")
    parser.add_argument("--sizes", type=int, nargs="+", default=[112, 224, 448])
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    network = build("resnet50").eval()
    start = "random weights"
    if arguments.weights:
        start = arguments.weights.name
        load_into(network, "resnet50", from_file(arguments.weights.read_bytes(), start), start)
    with tempfile.TemporaryDirectory() as folder:
        kind = write_source(Path(folder) / "films", 40, SEED)
        known, segmented = films(Path(folder) / "films", Path(folder) / "store")
        print(f"{len(known)} {kind}, ResNet-50 from {start}")
        print(f"validation films of {FOLDS} folds, {REPEATS} divisions; logistic regression, C = {STRENGTH:g}")
        print(f"{'input':>5}  {'stage':6}  {'pooling':16}  {'abnormal AUC':22}  malignant AUC")
        for size in arguments.sizes:
            inputs = np.stack([network_input(film, mask, Preprocessing(size=size)) for film, mask in segmented])
            for (stage, pooling), table in features(network, inputs).items():
                metrics = evaluate(validated(known, table), resamples=500)
                abnormal, malignant = metrics.abnormal_auc, metrics.per_class[Label.MALIGNANT].auc
                print(f"{size:5}  {stage:6}  {pooling:16}  {shown(abnormal):22}  {shown(malignant)}", flush=True)


if __name__ == "__main__":
    main()
