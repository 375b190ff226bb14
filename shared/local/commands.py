"""The command lines of the services, the same wherever they run."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from shared.allocator import TRAINING_VARIABLES, film_variables

ROOT = Path(__file__).resolve().parents[2]
WORKERS = ("augment", "segment", "train", "inference")


def worker_command(name: str) -> tuple[str, ...]:
    """Return the command of a service's worker, one unit at a time by default."""
    variables = TRAINING_VARIABLES if name == "train" else film_variables()
    return _python(variables, "-m", "shared.queue.launch", name)


def gateway_command(*arguments: str) -> tuple[str, ...]:
    """Return the command of the gateway: its service, or what it does with `arguments`."""
    return _python(film_variables(), "-m", "services.gateway", *arguments)


def inference_command(cores: int | None = None) -> tuple[str, ...]:
    """Return the command of the inference service under gunicorn.

    Args:
        cores: that the service takes; None means all of this machine.
    """
    configuration = ROOT / "services" / "inference" / "gunicorn.conf.py"
    application = "services.inference.bootstrap:application()"
    variables = film_variables(cores or os.cpu_count() or 1)
    return _python(variables, "-m", "gunicorn", "-c", str(configuration), application)


def _python(variables: Mapping[str, str], *arguments: str) -> tuple[str, ...]:
    """Return a command of this Python with variables that must be there when a process starts."""
    return ("env", *(f"{name}={value}" for name, value in variables.items()), sys.executable, *arguments)
