"""`make bench-fusion`: does a learned fusion of the films of a breast tell more than the rule of `modelling.exams`?

Films are judged by the head of the profile `lesions` behind frozen stages of ResNet-50, in five folds by patient. The
fusion learns from the log-odds of films that their own head has not seen: in each fold the training patients are
divided once more. It is one logistic regression over the views of a breast, CC and MLO, and the same views of the other
breast, with a mask for each view that is missing; validation patients choose its strength. Held-out patients alone are
compared, with the interval of the difference by patient. Films are those of MIAS where MAMMO_TEST_MIAS names a copy
(one view a breast), or generated exams of four views with repeats and gaps.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from services.train.data.batches import class_weights
from services.train.fitting.scores import macro_auc
from services.train.jobs import TrainingJob, job_predictions
from shared.datasets.splits import Split, patient_split
from shared.datasets.synthetic_exams import write_exams
from shared.domain.arrays import BoolArray, Float64Array
from shared.domain.films import Film, Variant
from shared.domain.records import CLASSES, Label
from shared.imaging.preprocess import Preprocessing, network_input
from shared.modelling.bilateral import log_odds
from shared.modelling.bootstrap import Interval, Resamples, percentile_interval
from shared.modelling.calibration import abnormal_score, calibrate, fit_temperature, softmax
from shared.modelling.exams import by_breast_and_exam
from shared.modelling.predictions import FoldPredictions, merge
from shared.modelling.roc import RankedCounts
from tests.bench.dataset import write_source
from tests.bench.experiments import (
    RECIPE,
    SEED,
    Judge,
    Numbers,
    beside,
    by_places,
    features,
    films,
    frozen_network,
    variants,
)

FOLDS = 5
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
VIEWS = ("CC", "MLO")


@dataclass(frozen=True, eq=False)
class JudgedFold:
    """A fold: its split, and for every film calibrated probabilities of a head that has not seen its patient, n x 3."""

    number: int
    split: Split
    rows: Float64Array

    def predictions(self, images: Sequence[Variant], places: Numbers) -> FoldPredictions:
        """Return the answers for the films at `places`."""
        job = TrainingJob(network="resnet50", protocol="patient", fold=self.number)
        return job_predictions(job, [images[place] for place in places], self.rows[places])


def judge_fold(images: Sequence[Variant], judge: Judge, number: int) -> JudgedFold:
    """Judge every film of a fold: training films by heads of an inner division, the others by a head of them all."""
    split, rows = patient_split(images, FOLDS, number, SEED), np.zeros((len(images), len(CLASSES)))
    others = np.concatenate([split.validation, split.test])
    rows[others] = _judged(images, judge, split.train, others)
    inner = [images[place] for place in split.train]
    for part in range(FOLDS):
        division = patient_split(inner, FOLDS, part, SEED + 1)
        learned = np.concatenate([division.train, division.validation])
        rows[split.train[division.test]] = _judged(images, judge, split.train[learned], split.train[division.test])
    truth = np.array([CLASSES.index(images[place].label) for place in split.validation])
    return JudgedFold(number, split, calibrate(rows, fit_temperature(rows[split.validation], truth)))


def _judged(images: Sequence[Variant], judge: Judge, train: Numbers, asked: Numbers) -> Float64Array:
    """Answers with the class shares of the training films, as published networks give them."""
    labels = np.array([CLASSES.index(images[place].label) for place in train])
    return softmax(np.log(judge(train, asked)) - np.log(class_weights(labels)))


def by_breast(predictions: FoldPredictions, known: dict[str, Film]) -> FoldPredictions:
    """Return the answers of the rule for breasts."""
    found = by_breast_and_exam(predictions, known)
    assert found, "all films are known"
    return found["breast"]


def breast_vectors(predictions: FoldPredictions, known: dict[str, Film]) -> Float64Array:
    """Describe each breast, in the order of `by_breast`: log-odds and mask of each of its views and of the other's."""
    logs = log_odds(predictions.rows)[:, 1:]
    of_breast: dict[tuple[str, ...], dict[str | None, list[Float64Array]]] = {}
    for place, film in enumerate(predictions.films):
        each = known[film]
        views = of_breast.setdefault((each.patient, each.exam or "", each.side), {})
        views.setdefault(each.view, []).append(logs[place])
    names = [tuple(name.split("/")) for name in by_breast(predictions, known).films]
    other = {"left": "right", "right": "left"}
    return np.array(
        [
            np.concatenate([_views(of_breast.get(key, {})) for key in (name, (*name[:2], other[name[2]]))])
            for name in names
        ]
    )


def _views(films_of: dict[str | None, list[Float64Array]]) -> Float64Array:
    parts = [np.append(np.mean(films_of[view], axis=0), 1.0) if view in films_of else np.zeros(3) for view in VIEWS]
    return np.concatenate(parts)


def learned(images: Sequence[Variant], fold: JudgedFold, known: dict[str, Film]) -> FoldPredictions:
    """Fit the fusion on the training breasts of a fold, and judge the held-out ones."""
    given = {
        part: fold.predictions(images, getattr(fold.split, part)) for part in ("train", "validation", "test")
    }  # fmt: skip
    vectors = {part: breast_vectors(answers, known) for part, answers in given.items()}
    breasts = {part: by_breast(answers, known) for part, answers in given.items()}
    truth = {part: units.truth for part, units in breasts.items()}
    models = [_fusion(strength).fit(vectors["train"], truth["train"]) for strength in STRENGTHS]
    best = max(models, key=lambda model: macro_auc(truth["validation"], _rows(model, vectors["validation"])) or 0.0)
    temperature = fit_temperature(_rows(best, vectors["validation"]), truth["validation"])
    return breasts["test"].with_rows(calibrate(_rows(best, vectors["test"]), temperature))


def _fusion(strength: float) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))


def _rows(model: Pipeline, vectors: Float64Array) -> Float64Array:
    rows = np.zeros((len(vectors), len(CLASSES)))
    rows[:, model.classes_] = model.predict_proba(vectors)
    return rows


def by_exam(breasts: FoldPredictions) -> FoldPredictions:
    """Return the answers for exams, each that of its most suspicious breast, whose label is the worst of both."""
    worst: dict[tuple[str, int], list[int]] = {}
    for place, (breast, fold) in enumerate(zip(breasts.films, breasts.folds, strict=True)):
        worst.setdefault((breast.rpartition("/")[0], fold), []).append(place)
    scores = abnormal_score(breasts.rows)
    chosen = [max(places, key=lambda place: scores[place]) for places in worst.values()]
    labels = [max((breasts.labels[place] for place in places), key=CLASSES.index) for places in worst.values()]
    exams = tuple(exam for exam, _ in worst)
    return breasts.at(chosen).model_copy(update={"films": exams, "labels": tuple(labels)})


def areas(predictions: FoldPredictions, positive: BoolArray, scores: Float64Array) -> Float64Array:
    """Return the area under the ROC curve, then those of a thousand resamples of the patients."""
    drawn = Resamples.of(predictions.patients, 1000, 0).with_films_first
    return np.concatenate([RankedCounts.of(scores, positive, block).areas() for block in drawn.blocks()])


def compare(name: str, rule: FoldPredictions, other: FoldPredictions) -> None:
    """Print both areas of a level, and the difference with its interval."""
    assert rule.films == other.films
    for what, positive, column in (
        ("abnormal", rule.abnormal, None),
        ("malignant", rule.truth == CLASSES.index(Label.MALIGNANT), CLASSES.index(Label.MALIGNANT)),
    ):
        one, two = (
            areas(each, positive, abnormal_score(each.rows) if column is None else each.rows[:, column])
            for each in (rule, other)
        )
        cells = [_shown(values) for values in (one, two, two - one)]
        print(f"{name:34}  {what:9}  {cells[0]:22}  {cells[1]:22}  {cells[2]}", flush=True)


def _shown(values: Float64Array) -> str:
    found: Interval = percentile_interval(float(values[0]), values[1:])
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="ImageNet weights of ResNet-50; without them, random ones")
    parser.add_argument("--strided", choices=("3x3", "1x1"), default="3x3", help="the strides of those weights")
    parser.add_argument("--exams", type=int, default=0, help="so many generated exams of four views, not MIAS")
    arguments = parser.parse_args()
    network, start = frozen_network(arguments.weights, arguments.strided)
    with tempfile.TemporaryDirectory() as folder:
        source, kind = Path(folder) / "films", "films of generated four-view exams"
        if arguments.exams:
            write_exams(source, arguments.exams, SEED)
        else:
            kind = write_source(source, 40, SEED)
        known, segmented = films(source, Path(folder) / "store")
        inputs = np.stack(
            [network_input(each.film, each.mask, Preprocessing(size=RECIPE.input_size)) for each in segmented]
        )
        _, maps = features(network, inputs)
    judge, images = by_places(known, segmented, inputs, maps, RECIPE), variants(known)
    by_id = {film.id: film for film in known}
    folds = [judge_fold(images, judge, number) for number in range(FOLDS)]
    held_out = [fold.predictions(images, fold.split.test) for fold in folds]
    fused = merge([learned(images, fold, by_id) for fold in folds])
    rule = merge([by_breast(each, by_id) for each in held_out])
    sides = merge([by_breast(beside(each, known), by_id) for each in held_out])
    print(f"{len(known)} {kind}, ResNet-50 from {start}; held-out breasts and exams of {FOLDS} folds, AUC by patient")
    print(f"{'':34}  {'':9}  {'rule':22}  {'learned fusion':22}  difference")
    compare("breasts, rule", rule, fused)
    compare("exams, rule", by_exam(rule), by_exam(fused))
    compare("breasts, rule on films side by side", sides, _same(sides, fused))
    compare("exams, rule on films side by side", by_exam(sides), by_exam(_same(sides, fused)))


def _same(breasts: FoldPredictions, answers: FoldPredictions) -> FoldPredictions:
    """Return the answers for these breasts; those without the other side have none side by side."""
    place = {key: n for n, key in enumerate(zip(answers.films, answers.folds, strict=True))}
    return answers.at([place[key] for key in zip(breasts.films, breasts.folds, strict=True)])


if __name__ == "__main__":
    main()
