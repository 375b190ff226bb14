"""What a person sees of a run in the terminal: progress, the table of the networks, a prediction."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from shared.errors import RunError
from shared.modelling.evaluation import Evaluation
from shared.modelling.metrics import Interval
from shared.modelling.recipes import as_network
from shared.queue import pipeline
from shared.queue.plan import Plan, Stage
from shared.store import keys
from shared.store.ingest import Progress as Report
from shared.store.objects import ObjectStore

console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 120)
_STAGE_WORDS: dict[Stage, str] = {
    "augment": "augment: films",
    "segment": "segment: films",
    "train": "train: epochs",
    "evaluate": "evaluate: report",
    "publish": "publish: networks",
    "promote": "promote: networks",
}


def bars() -> Progress:
    """The one look of all progress bars; without a terminal each bar is a line once it is full."""
    columns = (SpinnerColumn(), TextColumn("{task.description:<20}"), BarColumn(30), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), TextColumn("{task.fields[note]}"), console=console)


@contextmanager
def reporting() -> Iterator[Report]:
    """Progress bars for a callback (what, done, total): one bar for each `what`."""
    with bars() as progress:
        shown: dict[str, Any] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in shown:
                shown[what] = progress.add_task(what, note="")
            progress.update(shown[what], completed=done, total=total or done)

        yield report


def follow(store: ObjectStore, plan: Plan, check: Callable[[], None] = lambda: None) -> None:
    """Shows a run until it is finished.

    Args:
        check: called at every look; raises when going on is of no use (a process has died).

    Raises:
        RunError: a unit of work was given up, and the run stands still.
    """
    with bars() as progress:
        tasks = {
            stage: progress.add_task(words, start=False, total=None, note="") for stage, words in _STAGE_WORDS.items()
        }
        while True:
            status = pipeline.status(store, plan.run)
            for stage in status.stages:
                done, total = _amount(plan, status, stage)
                task = tasks[stage.stage]
                if stage.done or stage.stage == _running(status):
                    progress.start_task(task)
                progress.update(task, completed=done, total=total, note=_note(status, stage))
                if done == total:
                    progress.stop_task(task)
            if status.state == "finished":
                return
            if status.state == "failed" and _stands_still(status):
                raise RunError(failure_line(plan.run, status))
            check()
            time.sleep(0.5)


def failure_line(run: str, status: pipeline.RunStatus) -> str:
    """The first failure of a run, and what to do."""
    first = status.failures[0]
    more = f" (and {len(status.failures) - 1} more)" if len(status.failures) > 1 else ""
    return (
        f"{first.stage} {first.unit} was given up{more}: {first.message.rstrip('.')}. "
        f"Mend the cause, then `mammo resume {run}`; what is done stays done."
    )


def status_line(status: pipeline.RunStatus) -> str:
    """A run in a line: its name, over which films, and its state."""
    return f"run {status.run} over {status.dataset}{' (SYNTHETIC)' if status.synthetic else ''}: {status.state}"


def status_table(status: pipeline.RunStatus) -> Table:
    """The stages of a run."""
    table = Table(title=status_line(status), title_justify="left")
    for column in ("stage", "units", "films", "failed", ""):
        table.add_column(column, justify="right" if column in ("units", "films", "failed") else "left")
    for stage in status.stages:
        films = f"{stage.films_done}/{stage.films}" if stage.films else ""
        table.add_row(stage.stage, f"{stage.done}/{stage.units}", films, str(stage.failed or ""), _note(status, stage))
    return table


def evaluation_table(evaluation: Evaluation) -> Table:
    """Networks and protocols with their main figures and 95% intervals."""
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
        metrics = result.metrics
        protocol = "paper (leaky)" if result.leaky else "patient"
        figures = (metrics.accuracy, metrics.macro_f1, metrics.macro_auc)
        table.add_row(result.network, protocol, *(_percent(figure) for figure in figures))
    return table


def weights_line(evaluation: Evaluation) -> str:
    """Where each network started."""
    starts = {
        result.network: f"{len(result.weights.loaded)} layers from {result.weights.source}"
        if result.weights.loaded
        else "from scratch"
        for result in evaluation.results
    }
    return "trained " + ", ".join(f"{network} {start}" for network, start in starts.items())


def show_prediction(name: str, answer: dict[str, Any]) -> None:
    """One answer of the inference service, in words."""
    model = answer["model"]
    chances = ", ".join(f"{label} {chance:.1%}" for label, chance in answer["probabilities"].items())
    console.print(f"[bold]{escape(name)}: {answer['class']}[/] ({chances})")
    console.print(
        f"  by {model['network']} {model['version']} in {answer['seconds']['total'] * 1000:.0f} ms. {answer['notice']}"
    )


def read_evaluation(store: ObjectStore, run: str) -> Evaluation:
    """The evaluation of a finished run. Raises ObjectNotFound."""
    return Evaluation.model_validate_json(store.get(keys.report_file(run, "metrics.json")))


def _amount(plan: Plan, status: pipeline.RunStatus, stage: pipeline.StageStatus) -> tuple[int, int]:
    if stage.films:
        return stage.films_done, stage.films
    if stage.stage != "train":
        return stage.done, stage.units
    epochs = {unit.name: plan.training[as_network(unit.name.partition("/")[0])].epochs for unit in plan.units("train")}
    total = sum(epochs.values())
    if stage.done == stage.units:
        return total, total
    left = sum(count for name, count in epochs.items() if name not in status.finished_jobs)
    return total - left + sum(job.epoch for job in status.jobs.values()), total


def _running(status: pipeline.RunStatus) -> Stage | None:
    return next((stage.stage for stage in status.stages if stage.done < stage.units), None)


def _stands_still(status: pipeline.RunStatus) -> bool:
    stage = next(stage for stage in status.stages if stage.done < stage.units)
    return stage.done + stage.failed >= stage.units


def _note(status: pipeline.RunStatus, stage: pipeline.StageStatus) -> str:
    if stage.failed:
        return f"{stage.failed} given up"
    if stage.stage != "train" or not status.jobs:
        return ""
    name, job = next(iter(status.jobs.items()))
    return f"{name}: loss {job.train_loss:.3f}, {job.images_per_second:.0f} images/s"


def _percent(interval: Interval) -> str:
    if interval.value is None:
        return "not defined"
    if interval.low is None or interval.high is None:
        return f"{interval.value:.1%}"[:-1]
    return escape(f"{100 * interval.value:.1f} [{100 * interval.low:.0f}, {100 * interval.high:.0f}]")
