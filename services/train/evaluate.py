"""From the results of a run's jobs to its evaluation: the folds of a network put together, judged once."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from services.train.jobs import JobResult
from shared.datasets.manifest import Label, Manifest
from shared.modelling.evaluation import Evaluation, NetworkResult
from shared.modelling.metrics import evaluate, merge
from shared.queue.plan import Plan


def evaluate_run(plan: Plan, dataset: Manifest, results: Sequence[JobResult], set_aside: int = 0) -> Evaluation:
    """The evaluation of all networks and protocols of a run, in which `set_aside` films were not processed."""
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
        results=tuple(_network_results(plan, results)),
    )


def _network_results(plan: Plan, results: Sequence[JobResult]) -> list[NetworkResult]:
    found = []
    for network in plan.networks:
        for protocol in plan.protocols:
            folds = [r for r in results if (r.job.network, r.job.protocol) == (network, protocol)]
            first = folds[0]
            found.append(
                NetworkResult(
                    network=network,
                    protocol=protocol,
                    parameters=first.parameters,
                    input_size=first.input_size,
                    weights=first.weights,
                    histories=tuple(fold.history for fold in folds),
                    metrics=evaluate(merge([fold.predictions for fold in folds])),
                )
            )
    return found


def best_fold(results: Sequence[JobResult]) -> JobResult:
    """The job whose network did best on its validation films; held-out films have no say."""
    return max(results, key=lambda result: (result.validation_auc or 0.0, -result.validation_loss))
