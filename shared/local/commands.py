"""The command lines of the services, the same wherever they run."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORKERS = ("augment", "segment", "train", "inference")


def worker_command(name: str) -> tuple[str, ...]:
    """The worker of one service; one unit of work at a time, unless the settings say otherwise."""
    return (sys.executable, "-m", "shared.queue.launch", name)


def inference_command() -> tuple[str, ...]:
    """The inference service under gunicorn."""
    configuration = ROOT / "services" / "inference" / "gunicorn.conf.py"
    return (sys.executable, "-m", "gunicorn", "-c", str(configuration), "services.inference.app:create_app()")
