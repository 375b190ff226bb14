"""From the results of a run's jobs to its evaluation: the folds of a network put together, judged once.

Everything is judged by the probabilities that would be served: each fold's are calibrated by its own temperature.
Temperatures and thresholds come from a fold's validation films alone.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

from services.train.baselines import baselines
from services.train.code import code_sha256
from services.train.jobs import JobResult
from shared.datasets.manifest import Label, Manifest
from shared.modelling.calibration import (
    OPERATING_POINTS,
    OperatingPoint,
    OperatingPointName,
    abnormal_score,
    brier_score,
    calibrate,
    choose_threshold,
    expected_calibration_error,
    fit_temperature,
    reliability,
    uncertain_band,
)
from shared.modelling.comparison import Comparison, both_sides, compared, log_odds
from shared.modelling.evaluation import Calibration, Evaluation, NetworkResult, PooledOperatingPoint, SideBySide
from shared.modelling.metrics import evaluate, share
from shared.modelling.predictions import Predictions, merge
from shared.modelling.recipes import Network
from shared.modelling.subgroups import by_group
from shared.queue.plan import Plan


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
    """What each network gave its held-out films under the patient protocol."""
    honest = [result for result in results if result.job.protocol == "patient"]
    folds = {network: [r for r in honest if r.job.network == network] for network in plan.networks}
    return {network: served_predictions(found) for network, found in folds.items() if found}


def _network_results(plan: Plan, dataset: Manifest, results: Sequence[JobResult]) -> list[NetworkResult]:
    found, films = [], {film.id: film for film in dataset.films}
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
                    operating_points=tuple(_operating_point(name, folds) for name in OPERATING_POINTS if honest),
                    calibration=_calibration(folds, served) if honest else None,
                    side_by_side=_side_by_side(folds, sides_of(dataset)) if honest else None,
                    groups=by_group(served, films) if honest else (),
                )
            )
    return found


def sides_of(dataset: Manifest) -> dict[str, str]:
    """Left or right, by the id of a film."""
    return {film.id: film.side for film in dataset.films}


def beside_other_breast(
    fold: JobResult, sides: Mapping[str, str]
) -> tuple[JobResult, tuple[float, float, float]] | None:
    """What a fold would have left if it had judged each film beside that of the other breast, and the centre by which
    it does; None where it has no patient with both, among its validation films or its held-out ones."""
    validation = both_sides(_served(fold.validation, fold), sides)
    held_out = both_sides(_served(fold.predictions, fold), sides)
    if validation is None or held_out is None:
        return None
    normal, benign, malignant = log_odds(validation[0].rows).mean(axis=0).tolist()
    centre = normal, benign, malignant
    first, second = (films.with_rows(compared(films.rows, others, centre)) for films, others in (validation, held_out))
    temperature = fit_temperature(first.rows, first.truth)
    changes = {"validation": first, "predictions": second, "temperature": temperature}
    return fold.model_copy(update=changes), centre


def _side_by_side(folds: Sequence[JobResult], sides: Mapping[str, str]) -> SideBySide | None:
    judged = [judged for fold in folds if (judged := beside_other_breast(fold, sides))]
    if len(judged) < len(folds):
        return None
    beside = [fold for fold, _ in judged]
    return SideBySide(
        metrics=evaluate(served_predictions(beside)),
        operating_points=tuple(_operating_point(name, beside) for name in OPERATING_POINTS),
    )


def published_comparison(best: JobResult, pooled: SideBySide | None, sides: Mapping[str, str]) -> Comparison | None:
    """That of a card: centre, temperature, thresholds and bands of the published fold, figures of all folds."""
    judged = beside_other_breast(best, sides)
    if pooled is None or judged is None:
        return None
    fold, centre = judged
    return Comparison(
        centre=centre,
        temperature=fold.temperature,
        operating_points=published_points(fold, pooled.operating_points),
        metrics=pooled.metrics,
    )


def best_fold(results: Sequence[JobResult]) -> JobResult:
    """The job whose network did best on its validation films; held-out films have no say."""
    return max(results, key=lambda result: (result.validation_auc or 0.0, -result.validation_loss))


def published_points(published: JobResult, pooled: Sequence[PooledOperatingPoint]) -> tuple[OperatingPoint, ...]:
    """The operating points of a card: thresholds and bands of the published fold, figures of all folds."""
    scores = abnormal_score(_served(published.validation, published).rows)
    thresholds = {point.name: _threshold(point.name, published) for point in pooled}
    return tuple(
        OperatingPoint(
            name=point.name,
            threshold=thresholds[point.name],
            uncertain=uncertain_band(thresholds[point.name], scores),
            sensitivity=point.sensitivity,
            specificity=point.specificity,
        )
        for point in pooled
    )


def served_predictions(folds: Sequence[JobResult]) -> Predictions:
    """The held-out films of all folds, with the probabilities that would be served."""
    return merge([_served(fold.predictions, fold) for fold in folds])


def _served(predictions: Predictions, fold: JobResult) -> Predictions:
    return predictions.with_rows(calibrate(predictions.rows, fold.temperature))


def _threshold(name: OperatingPointName, fold: JobResult) -> float:
    validation = _served(fold.validation, fold)
    return choose_threshold(name, abnormal_score(validation.rows), validation.abnormal)


def _operating_point(name: OperatingPointName, folds: Sequence[JobResult]) -> PooledOperatingPoint:
    held_out = merge([fold.predictions for fold in folds])
    abnormal = held_out.abnormal
    called = np.concatenate(
        [abnormal_score(_served(fold.predictions, fold).rows) >= _threshold(name, fold) for fold in folds]
    )
    return PooledOperatingPoint(
        name=name,
        sensitivity=share(called, abnormal, held_out.patients),
        specificity=share(~called, ~abnormal, held_out.patients),
        true_positives=int((called & abnormal).sum()),
        false_negatives=int((~called & abnormal).sum()),
        true_negatives=int((~called & ~abnormal).sum()),
        false_positives=int((called & ~abnormal).sum()),
    )


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
