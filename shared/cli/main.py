"""Assemble the command line; print expected errors as one line of advice."""

import signal
import sys
from collections.abc import Callable

import typer
from rich.console import Console

from shared.cli import augmenting, batches, keys, models, runs, serving
from shared.errors import MammoError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Mammostack: breast-cancer detection from mammograms as a set of services. For research only; not a "
    "medical device.",
    epilog="Settings come from the environment or .env (see .env.example). To try everything out: `make demo`.",
    pretty_exceptions_enable=False,
)
_PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Runs": (runs.ingest, runs.run, runs.train, runs.status, runs.resume, runs.retry, runs.cancel),
    "Services": (serving.predict, serving.serve, serving.worker),
    "Try it": (serving.demo, serving.synthesize, augmenting.augment),
}
for panel, commands in _PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(models.app, name="models", rich_help_panel="Models")
app.add_typer(batches.app, name="batch", rich_help_panel="Services")
app.add_typer(keys.app, name="keys", rich_help_panel="Services")

FAILURE, INTERRUPTED = 1, 130


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # now there is something to clean up
        app(prog_name="mammo")
    except MammoError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"mammo: {error}", markup=False)
        sys.exit(FAILURE)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
