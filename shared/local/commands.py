"""The command lines of the services, the same wherever they run."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORKERS = ("augment", "segment", "train", "inference")


def worker_command(name: str) -> tuple[str, ...]:
    """Return the command of a service's worker, one unit at a time by default."""
    return (sys.executable, "-m", "shared.queue.launch", name)


def inference_command() -> tuple[str, ...]:
    """Return the command of the inference service under gunicorn."""
    configuration = ROOT / "services" / "inference" / "gunicorn.conf.py"
    return (sys.executable, "-m", "gunicorn", "-c", str(configuration), "services.inference.bootstrap:application()")
