"""What the folds of a network leave, from the abnormal scores of their films."""

from typing import Any

from services.train.evaluation.evaluate import evaluate_run
from services.train.jobs import JobResult
from shared.domain.records import CLASSES, Label
from shared.modelling.evaluation import NetworkResult
from shared.modelling.predictions import FoldPredictions
from tests.support.builders import job_result, small_manifest, small_plan

NORMAL, BENIGN, MALIGNANT = CLASSES


def scored(*films: tuple[float, Label], fold: int = 0) -> FoldPredictions:
    """Films, each of a patient of its own, from their abnormal scores and labels."""
    return FoldPredictions(
        films=tuple(f"fold{fold}film{number}" for number in range(len(films))),
        patients=tuple(f"fold{fold}patient{number}" for number in range(len(films))),
        labels=tuple(label for _, label in films),
        probabilities=tuple((1 - score, 0.75 * score, 0.25 * score) for score, _ in films),
        folds=(fold,) * len(films),
    )


VALIDATION = scored((0.1, NORMAL), (0.3, BENIGN), (0.4, NORMAL), (0.5, NORMAL), (0.6, BENIGN), (0.7, MALIGNANT))


HIGHER = scored((0.5, NORMAL), (0.7, BENIGN), (0.72, NORMAL), (0.75, NORMAL), (0.8, BENIGN), (0.9, MALIGNANT))


HELD_OUT = scored((0.2, NORMAL), (0.3, MALIGNANT), (0.5, NORMAL), (0.65, BENIGN), (0.65, NORMAL), (0.75, BENIGN))


def folds(**changes: Any) -> tuple[JobResult, JobResult]:
    """Two folds with the same held-out scores, the second of which gives higher scores to its validation films."""
    held_out = HELD_OUT.model_copy(update={"patients": tuple(f"second{p}" for p in HELD_OUT.patients)})
    return (
        job_result("resnet50/patient/fold-0", **{"predictions": HELD_OUT, "validation": VALIDATION} | changes),
        job_result("resnet50/patient/fold-1", **{"predictions": held_out, "validation": HIGHER} | changes),
    )


def judged(*results: JobResult) -> NetworkResult:
    plan = small_plan(protocols=("patient",))
    (result,) = evaluate_run(plan, small_manifest(), results).results
    return result
