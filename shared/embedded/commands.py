"""The command lines of the services, the same wherever they run."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORKERS = ("augment", "segment", "train")


def worker_command(name: str) -> tuple[str, ...]:
    """The Celery worker of one service; one unit of work at a time."""
    worker = ("celery", "-A", f"services.{name}.tasks", "worker", "-Q", name, "-n", f"{name}@%h")
    return (sys.executable, "-m", *worker, "--pool", "solo", "--without-gossip", "--without-mingle")


def inference_command() -> tuple[str, ...]:
    """The inference service under gunicorn."""
    configuration = ROOT / "services" / "inference" / "gunicorn.conf.py"
    return (sys.executable, "-m", "gunicorn", "-c", str(configuration), "services.inference.app:create_app()")
