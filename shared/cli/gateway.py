"""The commands `mammo gateway`: run the gateway to an archive, look at it, send films to it."""

import os
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from shared.errors import InputError
from shared.local.commands import ROOT, gateway_command

app = typer.Typer(no_args_is_help=True, help="The gateway to a hospital's archive (PACS).")


@app.command()
def serve() -> None:
    """Run the gateway in the foreground; its worker is `mammo worker gateway`."""
    _run()


@app.command()
def status() -> None:
    """Show what waits, and the exams that are set aside with their reasons."""
    _run("status")


@app.command()
def retry() -> None:
    """Give the exams that are set aside another chance."""
    _run("retry")


@app.command()
def echo() -> None:
    """Check that every destination answers."""
    _run("echo")


@app.command()
def send(folder: Annotated[Path, typer.Argument(help="Folder with DICOM files.")]) -> None:
    """Send the films of a folder to the gateway's DICOM listener."""
    _run("send", str(folder.resolve()))


def _run(*arguments: str) -> None:
    """Run the gateway's own program: services are above the command line.

    Raises:
        InputError: the gateway is not installed here.
    """
    if not (ROOT / "services" / "gateway").is_dir():
        raise InputError("the gateway is not installed here; run this command in its container image or in a checkout")
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(gateway_command(*arguments), env={**os.environ, "PYTHONPATH": path}, check=False)
    raise typer.Exit(done.returncode)
