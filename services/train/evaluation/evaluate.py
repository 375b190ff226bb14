"""The evaluation of a run from the results of its jobs: the folds of each network are pooled, then evaluated.

Probabilities are those that inference would give: each fold's are calibrated by its own temperature. Temperatures and
thresholds come from a fold's validation films only.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from services.train.data.provenance import code_sha256
from services.train.evaluation.baselines import baselines
from services.train.evaluation.exams import films_by_id, levels, side_by_side
from services.train.evaluation.operating_points import pooled_operating_points, pooled_predictions
from services.train.jobs import JobResult, results_of
from shared.datasets.splits import divided_officially
from shared.domain.films import Manifest
from shared.domain.records import Label
from shared.modelling.calibration import brier_score, expected_calibration_error, reliability
from shared.modelling.evaluation import Calibration, Evaluation, NetworkResult, OfficialReport
from shared.modelling.metrics import evaluate
from shared.modelling.network_table import Network
from shared.modelling.predictions import FoldPredictions, merge
from shared.modelling.recipes import HONEST
from shared.modelling.subgroups import by_group
from shared.runs.plan import Plan


def evaluate_run(
    plan: Plan,
    dataset: Manifest,
    results: Sequence[JobResult],
    set_aside: int = 0,
    regression: FoldPredictions | None = None,
) -> Evaluation:
    """Evaluate all networks and protocols of a run.

    Args:
        plan: of the run.
        dataset: its films.
        results: of its jobs.
        set_aside: number of films that could not be processed.
        regression: the logistic regression's predictions for the held-out films.
    """
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
        terms=dataset.known_terms,
        labelling=dataset.labelling,
        results=tuple(_network_results(plan, dataset, results)),
        official=_official_report(dataset) if "official" in plan.protocols else None,
        baselines=baselines(_honest_predictions(plan, results), regression),
    )


def _official_report(dataset: Manifest) -> OfficialReport:
    division = divided_officially(dataset.films)
    return OfficialReport(
        training_films=len(division.training),
        test_films=len(division.test),
        patients_on_both_sides=tuple(sorted(division.both_sides)),
        unplaced_films=len(division.unplaced),
    )


def _honest_predictions(plan: Plan, results: Sequence[JobResult]) -> dict[Network, FoldPredictions]:
    """Return each network's predictions for the held-out films of the protocol whose models are published."""
    folds = {network: results_of(results, network, plan.honest) for network in plan.networks if plan.honest}
    return {network: pooled_predictions(of_network) for network, of_network in folds.items() if of_network}


def _network_results(plan: Plan, dataset: Manifest, results: Sequence[JobResult]) -> list[NetworkResult]:
    network_results, films = [], films_by_id(dataset)
    for network in plan.networks:
        for protocol in plan.protocols:
            folds = results_of(results, network, protocol)
            first, honest, predictions = folds[0], protocol in HONEST, pooled_predictions(folds)
            network_results.append(
                NetworkResult(
                    network=network,
                    protocol=protocol,
                    parameters=first.parameters,
                    input_size=first.input_size,
                    weights=first.weights,
                    histories=tuple(fold.history for fold in folds),
                    metrics=evaluate(predictions),
                    operating_points=pooled_operating_points(folds) if honest else (),
                    calibration=_calibration(folds, predictions) if honest else None,
                    side_by_side=side_by_side(folds, films) if honest else None,
                    levels=levels(folds, films) if honest else (),
                    groups=by_group(predictions, films) if honest else (),
                )
            )
    return network_results


def _calibration(folds: Sequence[JobResult], after: FoldPredictions) -> Calibration:
    before = merge([fold.predictions for fold in folds])
    return Calibration(
        temperatures=tuple(fold.temperature for fold in folds),
        brier_before=brier_score(before.rows, before.truth),
        brier_after=brier_score(after.rows, after.truth),
        ece_before=expected_calibration_error(before.rows, before.truth),
        ece_after=expected_calibration_error(after.rows, after.truth),
        bins=reliability(after.rows, after.truth),
    )
