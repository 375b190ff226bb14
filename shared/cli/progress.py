"""Progress of a run in the terminal: bars, table of stages, failures."""

import time
from collections.abc import Callable

from rich.markup import escape
from rich.table import Table

from shared.cli.console import bars, console
from shared.errors import RunError
from shared.modelling.network_table import as_network
from shared.queue.messages import Stage
from shared.runs.plan import Plan
from shared.runs.status import RunStatus, StageStatus, read_status
from shared.store.interface import ObjectStore

_STAGE_WORDS: dict[Stage, str] = {
    "augment": "augment: films",
    "segment": "segment: films",
    "train": "train: epochs",
    "evaluate": "evaluate: report",
    "publish": "publish: networks",
    "promote": "promote: networks",
}


def follow(store: ObjectStore, plan: Plan, check: Callable[[], None] = lambda: None) -> None:
    """Show the progress of a run until it is finished.

    Args:
        check: called at every poll; raises if continuing is useless, for example because a process has died.

    Raises:
        RunError: a unit was given up and the run can't continue, or the run was cancelled.
    """
    with bars() as progress:
        tasks = {
            stage: progress.add_task(words, start=False, total=None, note="") for stage, words in _STAGE_WORDS.items()
        }
        while True:
            status = read_status(store, plan.run)
            for stage in status.stages:
                done, total = _amount(plan, status, stage)
                task = tasks[stage.stage]
                if stage.done or stage == status.current:
                    progress.start_task(task)
                progress.update(task, completed=done, total=total, note=_note(status, stage))
                if done == total:
                    progress.stop_task(task)
            if status.state == "finished":
                if any(failure.film for failure in status.failures):
                    console.print(f"[yellow]{escape(failure_line(status))}[/]")
                return
            if status.state == "cancelled" or status.stands_still:
                raise RunError(failure_line(status))
            check()
            time.sleep(0.5)


def failure_line(status: RunStatus) -> str:
    """Explain why a run stopped or continues without some films, with advice."""
    if status.state == "cancelled":
        return f"run {status.run} was cancelled; continue it with `mammo resume {status.run}`"
    given_up = [failure for failure in status.failures if failure.film is None]
    first = (given_up or list(status.failures))[0]
    reason = first.message.rstrip(".")
    if first.film is None:
        more = f" (and {len(given_up) - 1} more)" if len(given_up) > 1 else ""
        return (
            f"{first.stage} {first.unit} was given up{more}: {reason}. "
            f"Fix the cause, then run `mammo resume {status.run}`; finished work is kept."
        )
    films = "film was" if len(status.failures) == 1 else "films were"
    return (
        f"{len(status.failures)} {films} set aside, the first is {first.film} in {first.stage}: {reason}. "
        f"The run continues without; fix the cause, then run `mammo retry {status.run}`."
    )


def status_line(status: RunStatus) -> str:
    """Describe a run in one line: its name, data set and state."""
    return f"run {status.run} over {status.dataset}{' (SYNTHETIC)' if status.synthetic else ''}: {status.state}"


def status_table(status: RunStatus) -> Table:
    """Tabulate the stages of a run, with the broker's queues as the caption."""
    table = Table(title=status_line(status), title_justify="left", caption=_queue_line(status), caption_justify="left")
    for column in ("stage", "units", "films", "set aside", "given up", "rate", "left", ""):
        table.add_column(column, justify="left" if column in ("stage", "") else "right")
    for stage in status.stages:
        table.add_row(
            stage.stage,
            f"{stage.done}/{stage.units}",
            f"{stage.films_done}/{stage.films}" if stage.films else "",
            str(stage.set_aside or ""),
            str(stage.failed or ""),
            _rate(stage),
            _duration(stage.left_s),
            _note(status, stage),
        )
    return table


def _queue_line(status: RunStatus) -> str:
    if status.queue is None:
        return "queue: the broker does not answer; the table is read from the store"
    waiting = ", ".join(f"{name} {count}" for name, count in status.queue.waiting.items())
    line = f"queue, all runs: waiting {waiting}; in hand {status.queue.in_hand}"
    if status.state == "running" and not status.queue.in_hand and not any(status.queue.waiting.values()):
        line += f". Nothing is queued: `mammo resume {status.run}` enqueues what is missing"
    return line


def _rate(stage: StageStatus) -> str:
    if stage.rate is None:
        return ""
    unit = "films" if stage.films else "epochs"
    return f"{stage.rate:.1f} {unit}/s" if stage.rate >= 1 else f"{stage.rate * 60:.1f} {unit}/min"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _amount(plan: Plan, status: RunStatus, stage: StageStatus) -> tuple[int, int]:
    if stage.films:
        return stage.films_done + stage.set_aside, stage.films
    if stage.stage != "train":
        return stage.done, stage.units
    epochs = {name: plan.training[as_network(name.partition("/")[0])].epochs for name in plan.names("train")}
    total = sum(epochs.values())
    if stage.done == stage.units:
        return total, total
    remaining = sum(count for name, count in epochs.items() if name not in status.finished_jobs)
    return total - remaining + sum(job.epoch for job in status.jobs.values()), total


def _note(status: RunStatus, stage: StageStatus) -> str:
    if stage.failed or stage.set_aside:
        return ", ".join(
            [f"{stage.failed} given up"] * bool(stage.failed) + [f"{stage.set_aside} set aside"] * bool(stage.set_aside)
        )
    if stage.stage != "train" or not status.jobs:
        return ""
    name, job = next(iter(status.jobs.items()))
    return f"{name}: loss {job.train_loss:.3f}, {job.images_per_second:.0f} images/s"
