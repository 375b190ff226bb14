"""Assemble the command line; print expected errors as one line of advice."""

import signal
import sys
from collections.abc import Mapping
from typing import ClassVar

import typer
from rich.console import Console

from shared.cli.lazy import STYLE, Entry, LazyGroup
from shared.errors import MammoError

FAILURE, INTERRUPTED = 1, 130


class Mammo(LazyGroup):
    """All commands, in the order in which help lists them."""

    entries: ClassVar[Mapping[str, Entry]] = {
        "ingest": Entry(
            "shared.cli.runs:ingest",
            "Runs",
            "Check a data set film by film and bring it into the store. Doing it twice changes nothing.",
        ),
        "run": Entry(
            "shared.cli.runs:run",
            "Runs",
            "Start the whole pipeline: augment, segment, train, evaluate, publish, promote.",
        ),
        "train": Entry(
            "shared.cli.runs:train",
            "Runs",
            "Enqueue a retraining job of one network, by the honest protocol; its result is published as a new "
            "version.",
        ),
        "status": Entry(
            "shared.cli.runs:status",
            "Runs",
            "Show how far a run is and how fast, from what the store holds and the queue.",
        ),
        "resume": Entry(
            "shared.cli.runs:resume",
            "Runs",
            "Enqueue what a run still misses, and nothing else; jobs that were given up are tried again.",
        ),
        "retry": Entry(
            "shared.cli.runs:retry",
            "Runs",
            "Try the films again that were set aside, once their cause is mended; then resume the run.",
        ),
        "cancel": Entry(
            "shared.cli.runs:cancel",
            "Runs",
            "Stop a run cleanly. What is done stays, and `mammo resume` takes it up again.",
        ),
        "predict": Entry(
            "shared.cli.serving:predict",
            "Services",
            "Send a film, or the films of one patient, to the inference service and print what it answers.",
        ),
        "serve": Entry(
            "shared.cli.serving:serve",
            "Services",
            "Run the inference service (gunicorn) in the foreground; address and model come from the settings.",
        ),
        "worker": Entry(
            "shared.cli.serving:worker",
            "Services",
            "Run one worker in the foreground.",
        ),
        "demo": Entry(
            "shared.cli.serving:demo",
            "Try it",
            "Run the main job on this machine with all services, then serve. Leaves no process behind.",
        ),
        "synthesize": Entry(
            "shared.cli.serving:synthesize",
            "Try it",
            "Generate SYNTHETIC films to try things with.",
        ),
        "augment": Entry(
            "shared.cli.augmenting:augment",
            "Try it",
            "Print an augmentation recipe as JSON, to begin one of your own with, or draw what it makes of a film.",
        ),
        "models": Entry(
            "shared.cli.models:app",
            "Models",
            "List, promote and roll back published models.",
        ),
        "batch": Entry(
            "shared.cli.batches:app",
            "Services",
            "Predict many images of the object store in the background.",
        ),
        "keys": Entry(
            "shared.cli.keys:app",
            "Services",
            "API keys of the inference service: create, list, rotate, revoke.",
        ),
    }


app = typer.Typer(
    cls=Mammo,
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
