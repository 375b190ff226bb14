"""Start one worker: `python -m shared.queue.launch augment`, the same wherever workers run.

Films are processed in child processes, so that a film that kills its process leaves the worker alive. A training
worker is one process, because CUDA does not survive a fork and its data stay in memory from job to job.
"""

import atexit
import importlib
import logging
import os
import shutil
import signal
import sys
import tempfile
import warnings
from pathlib import Path

if __name__ == "__main__":  # until Celery takes it over, Ctrl-C ends this without a trace of half an import
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

from celery.exceptions import CPendingDeprecationWarning
from celery.utils.nodenames import host_format

from shared.errors import MammoError
from shared.files import METRICS_ROOM, memory_folder, wait_for_room


def main(service: str) -> None:
    """Run the worker of a service until it receives SIGTERM."""
    forks = service != "train"
    # prometheus_client sums the counts of parent and children there; it looks for it when it is imported
    if forks and "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="mammostack-metrics-", dir=memory_folder())
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        atexit.register(_remove, folder, os.getpid())
    if forks:
        folder = os.environ["PROMETHEUS_MULTIPROC_DIR"]
        try:
            wait_for_room(Path(folder), METRICS_ROOM, logging.getLogger("mammostack.worker"))
        except MammoError as error:
            raise SystemExit(f"mammostack: {error}") from error
    # Celery advises against going on with a task when the broker is lost; ours are safe to be delivered twice
    warnings.simplefilter("ignore", CPendingDeprecationWarning)
    # after the folder of the metrics is known
    from shared.logs import configure_logs  # noqa: PLC0415
    from shared.queue.process import WorkerProcess  # noqa: PLC0415
    from shared.queue.worker import register  # noqa: PLC0415
    from shared.settings import WORKERS, SettingsError, read_settings  # noqa: PLC0415

    try:
        settings = read_settings(WORKERS[service])
        configure_logs(settings.log.level)
        if forks and settings.worker.idle_s:
            raise SettingsError("only a training worker ends when it is idle; unset MAMMO_WORKER_IDLE_S for this one")
        tasks = importlib.import_module(f"services.{service}.tasks")
        process = WorkerProcess(settings, getattr(tasks, "GAUGES", ()))
        register(process, *tasks.unit_tasks(settings))
    except MammoError as error:
        raise SystemExit(f"mammostack: {error}") from error
    process.listen()
    worker = process.app.Worker(
        hostname=host_format(f"{service}-{os.getpid()}@%h"),
        queues=[service],
        pool="prefork" if forks else "solo",
        concurrency=settings.worker.processes if forks else 1,
        without_gossip=True,
        without_mingle=True,
    )
    worker.start()
    raise SystemExit(worker.exitcode)  # Celery's `worker_main` ends with 0, whatever happened


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
