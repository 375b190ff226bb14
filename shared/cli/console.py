"""Terminal output: progress bars, tables and predictions."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from shared.api.exams import ExamPrediction
from shared.api.films import FilmAbout
from shared.api.predictions import Finding, Judgement, PredictionAnswer, Signature
from shared.modelling.bootstrap import Interval
from shared.modelling.evaluation import Evaluation
from shared.modelling.metrics import ModelMetrics
from shared.store import layout
from shared.store.documents import read_document
from shared.store.interface import ObjectStore

console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 120)

_WIDEST = 1000
_SOURCES = {"stated": "stated", "file": "file", "label": "label", "shape": "by its shape"}


def bars() -> Progress:
    """Create the progress display used by all commands.

    Without a terminal, each bar is printed as a line once it is full.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description:<20}"), BarColumn(30), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), TextColumn("{task.fields[note]}"), console=console)


def listing(*columns: str) -> Table:
    """Create a table for `show_listing`, whose first column holds ids."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def show_listing(table: Table) -> None:
    """Print a table at its natural width, so that no cell is cut.

    A narrow terminal wraps the lines; ids can be copied from it all the same.
    """
    wide = Console(file=console.file, highlight=False, width=_WIDEST)
    width = Measurement.get(wide, wide.options, table).maximum
    Console(file=console.file, highlight=False, width=max(console.width, width)).print(table)


@contextmanager
def reporting() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a callback (step, done, total) that draws one progress bar per step."""
    with bars() as progress:
        bars_of: dict[str, Any] = {}

        def report(step: str, done: int, total: int) -> None:
            if step not in bars_of:
                bars_of[step] = progress.add_task(step, note="")
            progress.update(bars_of[step], completed=done, total=total or done)

        yield report


def evaluation_table(evaluation: Evaluation) -> Table:
    """Tabulate networks and protocols with their main metrics and 95% intervals."""
    films = "SYNTHETIC films" if evaluation.synthetic else f"data set {evaluation.dataset}"
    table = Table(
        title=f"Held-out {films}: value [95% interval by patient]",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for column in ("network", "protocol", "accuracy %", "macro F1 %", "macro AUC %"):
        table.add_column(column, no_wrap=True)
    for result in evaluation.results:
        rows: dict[str, ModelMetrics] = {"paper (leaky)" if result.leaky else result.protocol: result.metrics}
        if result.side_by_side:
            rows[f"{result.protocol}, side by side"] = result.side_by_side.metrics
        rows |= {f"{result.protocol}, by {level.level}": level.metrics for level in result.combined}
        for protocol, metrics in rows.items():
            figures = (metrics.accuracy, metrics.macro_f1, metrics.macro_auc)
            table.add_row(result.network, protocol, *(interval_percent(figure) for figure in figures))
    return table


def weights_line(evaluation: Evaluation) -> str:
    """Describe the initial weights of each network."""
    starts = {
        result.network: f"{len(result.weights.loaded)} layers from {result.weights.source}"
        if result.weights.loaded
        else "from scratch"
        for result in evaluation.results
    }
    return "trained " + ", ".join(f"{network} {start}" for network, start in starts.items())


def show_prediction(name: str, response: PredictionAnswer) -> None:
    """Print one prediction of the inference service."""
    _show_film(name, response)
    _show_signature(response, response.seconds.total)


def show_exam(response: ExamPrediction) -> None:
    """Print the predictions for one patient: by film, by breast and by exam."""
    for film in response.films:
        name = film.name or f"film {film.position + 1}"
        if film.problem:
            console.print(f"[bold]{escape(name)}: refused[/] ({escape(film.problem.detail)})")
        if film.finding:
            _show_film(name, film.finding)
        if film.side_by_side:
            _show_finding(f"{name} compared with the same view of the other breast", film.side_by_side)
    for breast in response.breasts:
        films = "1 film" if len(breast.films) == 1 else f"{len(breast.films)} films"
        _show_finding(f"breast {breast.laterality}, of {films}", breast)
    if response.exam:
        _show_finding(f"exam, as breast {response.exam.laterality}", response.exam)
    else:
        console.print("[bold]exam: no answer[/] (every film is refused)")
    _show_signature(response, sum(film.finding.seconds.total for film in response.films if film.finding))


def _show_film(name: str, finding: Finding) -> None:
    _show_finding(name, finding)
    if finding.about:
        console.print(f"  {escape(_facts(finding.about))}")
    if finding.applicability and not finding.applicability.applies:
        for reason in finding.applicability.reasons:
            console.print(f"  [yellow]{escape(reason)}[/]")
    for sentence in (*finding.about.disagreements, *finding.about.notes) if finding.about else ():
        console.print(f"  {escape(sentence)}")


def _facts(about: FilmAbout) -> str:
    """Describe a film in one line, such as 'view CC, magnification (file); breast R (file); digital, Hologic'."""
    view = about.view
    source = f" ({_SOURCES[view.source]})" if view.source else ""
    origin = [about.acquisition, about.vendor, "implant" if about.implant else None]
    parts = (
        f"view {', '.join((view.name or 'not known', *(view.modifiers or ())))}{source}",
        f"breast {about.laterality.name} ({_SOURCES[about.laterality.source]})",
        ", ".join(fact for fact in origin if fact),
    )
    return "; ".join(part for part in parts if part)


def _show_finding(name: str, judgement: Judgement) -> None:
    chances = ", ".join(f"{label} {chance:.1%}" for label, chance in judgement.probabilities)
    console.print(f"[bold]{escape(name)}: {judgement.label}[/] ({chances})")
    decision = judgement.decision
    point = decision.operating_point
    meaning = "a reader has to look" if decision.answer == "uncertain" else f"threshold {point.threshold:.2f}"
    console.print(
        f"  at the operating point {point.name}: {decision.answer} ({meaning}; on held-out films sensitivity "
        f"{interval_percent(point.sensitivity)} %, specificity {interval_percent(point.specificity)} %)"
    )


def _show_signature(response: Signature, seconds: float) -> None:
    model = response.model
    console.print(f"  by {model.network} {model.version} in {seconds * 1000:.0f} ms. {response.notice}")


def read_evaluation(store: ObjectStore, run: str) -> Evaluation:
    """Read the evaluation of a finished run.

    Raises:
        ObjectNotFound: the run has no report yet.
    """
    return read_document(store, layout.report_file(run, "metrics.json"), Evaluation)


def interval_percent(interval: Interval) -> str:
    """Write a share and its interval in per cent, for the console's markup."""
    if interval.value is None:
        return "not defined"
    if interval.low is None or interval.high is None:
        return f"{interval.value:.1%}"[:-1]
    return escape(f"{100 * interval.value:.1f} [{100 * interval.low:.0f}, {100 * interval.high:.0f}]")
