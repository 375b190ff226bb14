"""`make experiments`: what features of a network that has seen no film tell of films, by input size, depth and pooling.

A logistic regression on frozen features costs minutes where training costs hours, and says which inputs hold anything
to learn from: of whole films, by the mean of a feature map, or of its places, told by lesions' circles what lies there;
and of these beside the film of the other breast.
Every figure is of validation films alone, those of all folds together: held-out films have no say in what is kept.
MAMMO_TEST_MIAS names a copy of MIAS, without which films are generated.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from services.train.data.examples import Examples
from services.train.data.frozen_features import FeatureMaps
from services.train.data.inputs import DIVISION_SEED_STEP
from services.train.data.lesion_targets import breast_mask, place_labels
from services.train.evaluation.baselines import regression
from services.train.fitting.fit import FitContext, fit
from services.train.fitting.head_regression import fit_head
from services.train.fitting.predict import predict
from services.train.fitting.unfreezing import trainable_part
from services.train.jobs import TrainingJob, job_predictions
from shared.datasets.sources import open_source
from shared.datasets.splits import patient_split
from shared.domain.arrays import Float32Array
from shared.domain.films import Film, Transform, Variant
from shared.domain.lesions import Lesion
from shared.domain.records import CLASSES, Label
from shared.imaging.formats.decode import decode
from shared.imaging.image import Pixels
from shared.imaging.preprocess import Preprocessing, input_square, network_input
from shared.imaging.segmentation.segment import segment
from shared.modelling.bilateral import both_sides, compared, log_odds
from shared.modelling.bootstrap import Interval
from shared.modelling.metrics import evaluate
from shared.modelling.networks import MammogramNetwork, build
from shared.modelling.predictions import FoldPredictions, merge
from shared.modelling.profiles import PROFILES
from shared.modelling.recipes import TrainingRecipe
from shared.modelling.weights import from_file, load_into
from shared.store.directory import DirectoryStore
from shared.store.ingest import film_key, ingest
from tests.bench.dataset import write_source

STAGES = ("layer2", "layer3")
POOLINGS = ("mean", "mean and largest")
STRENGTH = 1e-4
FOLDS, REPEATS, SEED, BATCH = 5, 3, 7, 8
RECIPE = PROFILES["lesions"].training["resnet50"]
CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Segmented:
    """A film and its mask (H x W), the square that a network sees of it, and its lesions in its oriented frame."""

    film: Pixels
    mask: npt.NDArray[np.uint8]
    square: tuple[int, int, int]
    lesions: tuple[Lesion, ...]


def films(source: Path, folder: Path) -> tuple[list[Film], list[Segmented]]:
    """All films, and each one segmented."""
    store = DirectoryStore(folder)
    done = ingest(store, open_source(source), "films")
    known = list(done.manifest.films)
    return known, [_segmented(store.get(film_key(done.dataset, film)), film) for film in known]


def _segmented(data: bytes, known: Film) -> Segmented:
    image = decode(data)
    found = segment(image.pixels, image.bits, known.view)
    width = found.film.shape[1]
    placed = tuple(lesion.mirrored(width) for lesion in known.lesions) if found.flipped else known.lesions
    return Segmented(found.film, found.mask, input_square(found.box), placed)


@torch.inference_mode()
def features(
    network: MammogramNetwork, inputs: Float32Array
) -> tuple[dict[tuple[str, str], Float32Array], FeatureMaps]:
    """By stage and pooling, N x C, and the maps of the last stage, N x C x h x w."""
    parts: dict[tuple[str, str], list[Float32Array]] = {}
    last: list[FeatureMaps] = []
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
        last.append(maps.half().numpy())
    return {key: np.concatenate(values) for key, values in parts.items()}, np.concatenate(last)


Numbers: TypeAlias = npt.NDArray[np.intp]
Judge: TypeAlias = Callable[[Numbers, Numbers], npt.NDArray[np.float64]]
"""From the numbers of films to learn from and of others (n) to class probabilities of these (n x 3)."""


def validated(known: list[Film], judge: Judge) -> FoldPredictions:
    """What a judge gives the validation films of every fold of every division."""
    return merge(list(_folds(variants(known), judge)))


def variants(known: list[Film]) -> list[Variant]:
    """Each film as an image of a run."""
    return [
        Variant(
            **film.model_dump(include={"patient", "side", "density", "label", "lesions", "sha256"}),
            film=film.id,
            variant=0,
            transform=Transform(),
            key=film.id,
        )
        for film in known
    ]


def whole(known: list[Film], table: Float32Array) -> Judge:
    """A regression on one row of features for each film."""
    labels = np.array([CLASSES.index(film.label) for film in known])
    return lambda train, asked: regression(STRENGTH).fit(table[train], labels[train]).predict_proba(table[asked])


def by_places(
    known: list[Film], segmented: list[Segmented], inputs: Float32Array, maps: FeatureMaps, recipe: TrainingRecipe
) -> Judge:
    """The head of ResNet-50 behind all that is frozen, told by circles what lies there: fitted at once, or in steps
    where the recipe has no regression."""
    edge = maps.shape[-1]
    inside = breast_mask(inputs, np.arange(len(inputs)), edge)
    each_film = zip(known, segmented, strict=True)
    told = np.stack([place_labels(each.lesions, film.label, each.square, edge) for film, each in each_film])
    labels = np.array([CLASSES.index(film.label) for film in known])

    def judge(train: Numbers, asked: Numbers) -> npt.NDArray[np.float64]:
        torch.manual_seed(SEED)
        learner = trainable_part(build("resnet50", recipe.last_stage), recipe, pretrained=True)
        given, others = (Examples(maps, labels[films], films, told) for films in (train, asked))
        how = {"seed": SEED, "device": CPU, "on_epoch": lambda _: None}
        if recipe.regression:
            fit_head(learner, recipe, given, others, inside[train], FitContext(pretrained=True, **how))
        else:
            fit(learner, recipe, given, others, FitContext(pretrained=True, **how))
        return predict(learner, others, BATCH, CPU)

    return judge


def _folds(images: list[Variant], judge: Judge) -> Iterator[FoldPredictions]:
    for repeat, fold in product(range(REPEATS), range(FOLDS)):
        split = patient_split(images, FOLDS, fold, SEED + DIVISION_SEED_STEP * repeat)
        job = TrainingJob(network="resnet50", protocol="patient", fold=FOLDS * repeat + fold)
        rows = judge(split.train, split.validation)
        yield job_predictions(job, [images[index] for index in split.validation], rows)


def beside(judged: FoldPredictions, known: list[Film]) -> FoldPredictions:
    """The same films, each beside that of the other breast."""
    found = both_sides(judged, {film.id: film for film in known})
    assert found, "the films of a patient are of both breasts"
    films, others = found
    normal, benign, malignant = log_odds(films.rows).mean(axis=0).tolist()
    return films.with_rows(compared(films.rows, others, (normal, benign, malignant)))


def shown(area: Interval) -> str:
    return f"{area.value:.3f} [{area.low:.3f}, {area.high:.3f}]"


def frozen_network(weights: Path | None, strided: Literal["3x3", "1x1"]) -> tuple[MammogramNetwork, str]:
    """Build ResNet-50 from ImageNet weights, or random ones; with what they are called."""
    torch.manual_seed(SEED)
    network = build("resnet50", strided=strided).eval()
    if weights is None:
        return network, "random weights"
    load_into(network, "resnet50", from_file(weights.read_bytes(), weights.name), weights.name)
    return network, weights.name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="ImageNet weights of ResNet-50; without them, random ones")
    parser.add_argument("--strided", choices=("3x3", "1x1"), default="3x3", help="the strides of those weights")
    parser.add_argument("--sizes", type=int, nargs="+", default=[112, 224, 448])
    parser.add_argument("--regression", type=float, default=RECIPE.regression, help="C of that on places; 0: in steps")
    arguments = parser.parse_args()
    recipe = RECIPE.model_copy(update={"regression": arguments.regression})
    network, start = frozen_network(arguments.weights, arguments.strided)
    with tempfile.TemporaryDirectory() as folder:
        kind = write_source(Path(folder) / "films", 40, SEED)
        known, segmented = films(Path(folder) / "films", Path(folder) / "store")
        print(f"{len(known)} {kind}, ResNet-50 from {start}, strides in its {arguments.strided} convolutions")
        print(f"validation films of {FOLDS} folds, {REPEATS} divisions; logistic regression, C = {STRENGTH:g}; places:")
        print(f"logistic regression, C = {recipe.regression:g}" if recipe.regression else "the head learns in steps")
        print(f"{'input':>5}  {'stage':6}  {'pooling':16}  {'abnormal AUC':22}  malignant AUC")
        for size in arguments.sizes:
            inputs = np.stack([network_input(each.film, each.mask, Preprocessing(size=size)) for each in segmented])
            tables, maps = features(network, inputs)
            judges = {key: whole(known, table) for key, table in tables.items()}
            judges[STAGES[-1], "places"] = by_places(known, segmented, inputs, maps, recipe)
            for (stage, pooling), judge in judges.items():
                rows = {pooling: validated(known, judge)}
                if pooling == "places":
                    rows["side by side"] = beside(rows[pooling], known)
                for name, answers in rows.items():
                    metrics = evaluate(answers, resamples=500)
                    abnormal, malignant = metrics.abnormal_auc, metrics.per_class[Label.MALIGNANT].auc
                    print(f"{size:5}  {stage:6}  {name:16}  {shown(abnormal):22}  {shown(malignant)}", flush=True)


if __name__ == "__main__":
    main()
