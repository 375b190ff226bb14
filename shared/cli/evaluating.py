"""The command `mammo evaluate`: test a published version on another data set."""

import time
from typing import Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from shared.cli.console import console, interval_percent, reporting
from shared.errors import InputError, ModelNotFound, RunError
from shared.evaluations import flow
from shared.evaluations.plan import EvaluationPlan, make_evaluation
from shared.modelling.external import ExternalEvaluation
from shared.modelling.network_table import NETWORKS, NETWORKS_TEXT
from shared.queue.broker import Broker
from shared.settings import BrokerSettings, StoreSettings, read_settings
from shared.store import layout, models
from shared.store.interface import ObjectStore
from shared.store.objects import open_store

_PAUSE_S = 0.5


def evaluate(
    version: Annotated[str, typer.Argument(help="A version, as printed by `mammo models list`, or an alias.")],
    dataset: Annotated[str, typer.Option(help="Data set that it is tested on: NAME, or NAME@VERSION.")],
    network: Annotated[
        str | None, typer.Option(help=f"Network of the version: {NETWORKS_TEXT}; needed where several have it.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Show the progress until the report is there.")] = False,
) -> None:
    """Test a version on another data set (external validation); safe to repeat.

    Films are judged as inference judges them, by the training workers. Patients that the version has seen are left out,
    and so are films that stand in the data set twice.
    """
    store = open_store(read_settings(StoreSettings))
    name, number = published_version(store, version, network)
    plan = make_evaluation(store, name, number, dataset)
    plan = flow.start(store, Broker.open(read_settings(BrokerSettings)), plan)
    if wait:
        _follow(store, plan)
    found = flow.read_external_evaluation(store, plan)
    if found is None:
        console.print(
            f"evaluation {plan.evaluation} of {plan.films - len(plan.left_out.films)} films is enqueued; the same "
            "command with --wait follows it"
        )
        return
    _show(found)
    console.print(f"report: {store.locate(layout.evaluation_report(plan.evaluation, 'index.html'))}")


def published_version(store: ObjectStore, version: str, network: str | None) -> tuple[str, str]:
    """Find a version by its name or an alias; return network and version.

    Raises:
        InputError: several networks have it.
        ModelNotFound: none has it.
    """
    networks = [network] if network else [*dict.fromkeys((*NETWORKS, *models.networks(store)))]
    if version in models.ALIASES:
        found = {name: alias for name in networks if (alias := _points_to(store, name, version))}
    else:
        found = {name: version for name in networks if version in models.versions(store, name)}
    if len(found) > 1:
        raise InputError(f"{', '.join(found)} have a version '{version}'; choose one of them with --network")
    if not found:
        raise ModelNotFound(f"no network has a version '{version}'; `mammo models list` shows all of them")
    return next(iter(found.items()))


def _points_to(store: ObjectStore, network: str, alias: str) -> str | None:
    try:
        return models.read_alias(store, network, alias).version
    except ModelNotFound:
        return None


def _follow(store: ObjectStore, plan: EvaluationPlan) -> None:
    """Show the progress until the report is there.

    Raises:
        RunError: a unit was given up.
    """
    total = sum(1 for _ in plan.shards)
    with reporting() as report:
        while flow.read_external_evaluation(store, plan) is None:
            missing = sum(1 for _ in flow.missing_shards(store, plan))
            report("judging films, in shards", total - missing, total)
            for failure in flow.failures(store, plan):
                raise RunError(
                    f"unit {failure.unit} of evaluation {plan.evaluation} was given up: {failure.message.rstrip('.')}. "
                    "Fix the cause, then give the same command again; finished work is kept"
                )
            time.sleep(_PAUSE_S)
        report("judging films, in shards", total, total)


def _show(evaluation: ExternalEvaluation) -> None:
    left_out = evaluation.left_out
    patients = len(left_out.patients_by_id) + len(left_out.patients_by_film)
    repeated = len(left_out.repeated_films) + len(left_out.contradictory_films)
    console.print(
        f"{evaluation.network} {evaluation.version}, trained on {evaluation.trained_on}, on "
        f"{evaluation.metrics.n_films} films of {evaluation.metrics.n_patients} patients of {evaluation.dataset}"
        f"{' (SYNTHETIC)' if evaluation.synthetic else ''}; left out: {len(left_out.films)} films ({patients} patients "
        f"that it has seen, {repeated} films that stand there twice), refused: {len(evaluation.refused)}",
        markup=False,
    )
    console.print(external_table(evaluation))
    for point in evaluation.operating_points:
        console.print(
            f"at the operating point {point.name}: sensitivity {interval_percent(point.sensitivity)} %, "
            f"specificity {interval_percent(point.specificity)} %"
        )


def external_table(evaluation: ExternalEvaluation) -> Table:
    """Tabulate the figures by film, breast and exam, with the card's below them."""
    table = Table(
        title="value [95% interval by patient]", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )  # fmt: skip
    for column in ("films of", "judged", "accuracy %", "macro AUC %", "abnormal AUC %"):
        table.add_column(column, no_wrap=True)
    rows = [(evaluation.dataset, "by film", evaluation.metrics)]
    if evaluation.side_by_side:
        rows.append((evaluation.dataset, "by film, side by side", evaluation.side_by_side.metrics))
    rows += [(evaluation.dataset, f"by {level.level}", level.metrics) for level in evaluation.levels]
    rows.append((evaluation.trained_on, "by cross-validation", evaluation.cross_validated))
    for films, judged, metrics in rows:
        figures = (metrics.accuracy, metrics.macro_auc, metrics.abnormal_auc)
        table.add_row(escape(films), judged, *(interval_percent(figure) for figure in figures))
    return table
