"""From the results of a run's jobs to its evaluation: the folds of a network put together, judged once.

Everything is judged by the probabilities that would be served: each fold's are calibrated by its own temperature.
Temperatures and thresholds come from a fold's validation films alone.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from services.train.data.provenance import code_sha256
from services.train.evaluation.baselines import baselines
from services.train.evaluation.exams import films_of, levels, side_by_side
from services.train.evaluation.points import pooled_operating_point, served_predictions
from services.train.jobs import JobResult
from shared.domain.films import Manifest
from shared.domain.records import Label
from shared.modelling.calibration import (
    OPERATING_POINTS,
    brier_score,
    expected_calibration_error,
    reliability,
)
from shared.modelling.evaluation import (
    Calibration,
    Evaluation,
    NetworkResult,
)
from shared.modelling.metrics import evaluate
from shared.modelling.network_table import Network
from shared.modelling.predictions import Predictions, merge
from shared.modelling.subgroups import by_group
from shared.runs.plan import Plan


def evaluate_run(
    plan: Plan,
    dataset: Manifest,
    results: Sequence[JobResult],
    set_aside: int = 0,
    frozen: Predictions | None = None,
) -> Evaluation:
    """The evaluation of all networks and protocols of a run, in which `set_aside` films were not processed; `frozen` is
    what the logistic regression gave the held-out films."""
    counts = Counter(film.label for film in dataset.films)
    return Evaluation(
        run=plan.run,
        dataset=plan.dataset,
        synthetic=plan.synthetic,
        profile=plan.profile,
        seed=plan.seed,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        films=len(dataset.films),
        patients=len({film.patient for film in dataset.films}),
        films_set_aside=set_aside,
        class_counts={label.value: counts[label] for label in Label},
        augmentation=plan.augmentation.id,
        augmentation_variants=plan.augmentation.variants,
        code_version=plan.code_version,
        code_sha256=code_sha256(),
        data_sha256=results[0].data_sha256 if results else "",
        folds=plan.folds,
        repeats=plan.repeats,
        results=tuple(_network_results(plan, dataset, results)),
        baselines=baselines(_judged(plan, results), frozen),
    )


def _judged(plan: Plan, results: Sequence[JobResult]) -> dict[Network, Predictions]:
    """Return the predictions of each network for its held-out films under the patient protocol."""
    honest = [result for result in results if result.job.protocol == "patient"]
    folds = {network: [r for r in honest if r.job.network == network] for network in plan.networks}
    return {network: served_predictions(found) for network, found in folds.items() if found}


def _network_results(plan: Plan, dataset: Manifest, results: Sequence[JobResult]) -> list[NetworkResult]:
    found, films = [], films_of(dataset)
    for network in plan.networks:
        for protocol in plan.protocols:
            folds = [r for r in results if (r.job.network, r.job.protocol) == (network, protocol)]
            first, honest, served = folds[0], protocol == "patient", served_predictions(folds)
            found.append(
                NetworkResult(
                    network=network,
                    protocol=protocol,
                    parameters=first.parameters,
                    input_size=first.input_size,
                    weights=first.weights,
                    histories=tuple(fold.history for fold in folds),
                    metrics=evaluate(served),
                    operating_points=tuple(pooled_operating_point(name, folds) for name in OPERATING_POINTS if honest),
                    calibration=_calibration(folds, served) if honest else None,
                    side_by_side=side_by_side(folds, films) if honest else None,
                    levels=levels(folds, films) if honest else (),
                    groups=by_group(served, films) if honest else (),
                )
            )
    return found


def _calibration(folds: Sequence[JobResult], after: Predictions) -> Calibration:
    before = merge([fold.predictions for fold in folds])
    return Calibration(
        temperatures=tuple(fold.temperature for fold in folds),
        brier_before=brier_score(before.rows, before.truth),
        brier_after=brier_score(after.rows, after.truth),
        ece_before=expected_calibration_error(before.rows, before.truth),
        ece_after=expected_calibration_error(after.rows, after.truth),
        bins=reliability(after.rows, after.truth),
    )
