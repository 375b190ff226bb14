"""Assemble the command line; print expected errors as one line of advice."""

import signal
import sys
from collections.abc import Mapping
from typing import ClassVar

import typer
from rich.console import Console

from shared.cli.lazy import STYLE, CommandEntry, LazyGroup
from shared.errors import MammoError

FAILURE, INTERRUPTED = 1, 130


class MammoCommands(LazyGroup):
    """All commands, in the order in which help lists them."""

    entries: ClassVar[Mapping[str, CommandEntry]] = {
        "ingest": CommandEntry(
            "shared.cli.ingesting:ingest",
            "Runs",
            "Check a data set film by film and copy it into the store; safe to repeat.",
        ),
        "run": CommandEntry(
            "shared.cli.runs:run",
            "Runs",
            "Run the pipeline: augment, segment, train, evaluate, publish, promote.",
        ),
        "train": CommandEntry(
            "shared.cli.runs:train",
            "Runs",
            "Retrain one network with the patient-wise protocol; publish a new version.",
        ),
        "retrain": CommandEntry(
            "shared.cli.retraining:retrain",
            "Runs",
            "Retrain as the settings say, if anything is new; promote what is better.",
        ),
        "status": CommandEntry(
            "shared.cli.runs:status",
            "Runs",
            "Show a run's progress and rate, from the store and the queue.",
        ),
        "resume": CommandEntry(
            "shared.cli.runs:resume",
            "Runs",
            "Enqueue a run's missing work; jobs that were given up are tried again.",
        ),
        "retry": CommandEntry(
            "shared.cli.runs:retry",
            "Runs",
            "Retry films that were set aside, after fixing the cause; resume the run.",
        ),
        "cancel": CommandEntry(
            "shared.cli.runs:cancel",
            "Runs",
            "Cancel a run; finished work is kept, and `mammo resume` continues it.",
        ),
        "predict": CommandEntry(
            "shared.cli.serving:predict",
            "Services",
            "Send one or several films of a patient to the inference service.",
        ),
        "serve": CommandEntry(
            "shared.cli.serving:serve",
            "Services",
            "Run the inference service (gunicorn) in the foreground.",
        ),
        "worker": CommandEntry(
            "shared.cli.serving:worker",
            "Services",
            "Run one worker in the foreground.",
        ),
        "demo": CommandEntry(
            "shared.cli.serving:demo",
            "Try it",
            "Run all services and the pipeline on this machine, then serve the model.",
        ),
        "synthesize": CommandEntry(
            "shared.cli.serving:synthesize",
            "Try it",
            "Generate a data set of SYNTHETIC films.",
        ),
        "augment": CommandEntry(
            "shared.cli.augmenting:augment",
            "Try it",
            "Print an augmentation recipe as JSON, or draw a film's augmented variants.",
        ),
        "evaluate": CommandEntry(
            "shared.cli.evaluating:evaluate",
            "Models",
            "Test a version on another data set (external validation); safe to repeat.",
        ),
        "models": CommandEntry(
            "shared.cli.models:app",
            "Models",
            "List, inspect, promote and roll back published models.",
        ),
        "batch": CommandEntry(
            "shared.cli.batches:app",
            "Services",
            "Predict many images of the object store in the background.",
        ),
        "gateway": CommandEntry(
            "shared.cli.gateway:app",
            "Services",
            "The gateway to a hospital's archive (PACS).",
        ),
        "doctor": CommandEntry(
            "shared.cli.doctor:doctor",
            "Runs",
            "List the stored records that can't be read, what each costs, and the remedy.",
        ),
        "gc": CommandEntry(
            "shared.cli.retention:gc",
            "Runs",
            "List what no run, model, batch or data set refers to; delete it with --delete.",
        ),
        "keys": CommandEntry(
            "shared.cli.keys:app",
            "Services",
            "API keys of the inference service: create, list, rotate, revoke.",
        ),
    }


app = typer.Typer(
    cls=MammoCommands,
    no_args_is_help=True,
    help="Mammostack: breast-cancer detection from mammograms as a set of services. For research only; not a "
    "medical device.",
    epilog="Settings come from the environment or .env (see .env.example). To try everything out: `make demo`.",
    **STYLE,
)


@app.callback()
def _heed_interrupts() -> None:
    # called once the command's module is imported: an import that Ctrl-C breaks off may leave a trace
    signal.signal(signal.SIGINT, signal.default_int_handler)


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        app(prog_name="mammo")
    except MammoError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"mammo: {error}", markup=False)
        sys.exit(FAILURE)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
