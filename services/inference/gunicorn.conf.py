"""Configuration of gunicorn: one process with the model, threads for requests.

`prometheus_client` collects metrics of all processes in a directory, which is recreated at every start.
"""

import logging
import os
import resource
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

if signal.SIGINT in signal.pthread_sigmask(signal.SIG_UNBLOCK, ()):  # `mammo serve` holds Ctrl-C back until here
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

from services.inference.admission.queueing import IN_HAND
from shared.addresses import netloc
from shared.errors import MammoError
from shared.files import METRICS_ROOM, memory_folder, wait_for_room
from shared.settings import InferenceProcessSettings, read_settings

try:
    _settings = read_settings(InferenceProcessSettings)
except MammoError as error:  # as it is: gunicorn would show it with its trace
    raise SystemExit(f"mammostack: {error}") from None
_in_memory = memory_folder()
_own_directory = "PROMETHEUS_MULTIPROC_DIR" not in os.environ
if _own_directory:
    # Mapped files on a full file system kill the process that writes to them (SIGBUS), so not on that of /tmp.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="mammostack-metrics-", dir=_in_memory)
_metrics_directory = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
for _leftover in _metrics_directory.glob("*.db"):  # of a process that was killed: they take the room of ours
    _leftover.unlink()
_log = logging.getLogger("mammostack.inference")
try:
    wait_for_room(_metrics_directory, METRICS_ROOM, _log)
except MammoError as error:
    raise SystemExit(f"mammostack: {error}") from None
# prometheus_client looks for the directory when it is imported, so not earlier than here
from prometheus_client import multiprocess  # noqa: E402

# Each place at the network has a core; OpenCV's own threads would take the others'.
os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")

_serving, _cores = _settings.serving, _settings.compute.cores
bind = netloc(_serving.host, _serving.port)
worker_class = "services.inference.admission.gunicorn_worker.Worker"
workers = 1
_spare = 16  # for clients that send slowly, for probes, and to refuse in time whoever is too many
threads = _serving.threads or IN_HAND * _cores + _serving.waiting + _spare
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
_descriptors = min(_hard, 8192) if _soft < 8192 else _soft
resource.setrlimit(resource.RLIMIT_NOFILE, (_descriptors, _hard))
worker_connections = max(threads + 64, min(2048, _descriptors - 256))  # beyond it, those that wait for their client end
timeout = 60
graceful_timeout = 20
keepalive = 5
control_socket_disable = True  # one socket in the home directory for all instances: nothing of ours needs it
worker_tmp_dir = _in_memory  # heartbeats must not wait for a disk
loglevel = _settings.log.level.lower()


def on_starting(_server: Any) -> None:
    """Refuse to listen on a public address without API keys."""
    from services.inference.admission.auth import check_keys_exist, local_key  # noqa: PLC0415  after the metrics' folder
    from shared.store.objects import open_store  # noqa: PLC0415

    try:
        local_key(_settings.client, _serving)
        check_keys_exist(open_store(_settings.store), _serving)
    except MammoError as error:
        on_exit(_server)
        raise SystemExit(f"mammostack: {error}") from error


def post_fork(server: Any, _worker: Any) -> None:
    """Count the start of a child; a successor of one that died of a full file system waits for room first."""
    try:
        wait_for_room(_metrics_directory, METRICS_ROOM, _log)
    except MammoError as error:  # the next child would fare no better
        _log.error("%s", error)
        raise SystemExit(server.WORKER_BOOT_ERROR) from None
    from shared import metrics  # noqa: PLC0415  after the metrics' folder

    metrics.CHILDREN_STARTED.inc()


def child_exit(_server: Any, worker: Any) -> None:
    """Drop the gauges of an ended process; its counters stay in the sums."""
    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(_server: Any) -> None:
    """Leaves no directory behind."""
    if _own_directory:
        shutil.rmtree(_metrics_directory, ignore_errors=True)
