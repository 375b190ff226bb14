"""The process of a worker: its connections, and its checks before the first unit."""

import logging
import os
import signal
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from celery import signals
from prometheus_client import start_http_server

from shared import metrics
from shared.errors import MammoError
from shared.files import METRICS_ROOM, wait_for_room
from shared.polling import wait_for_server
from shared.queue.broker import Broker, check_server, connect, wait_for_broker
from shared.queue.broker_metrics import BrokerCollector
from shared.queue.celery_app import make_app
from shared.queue.idle import IdleMonitor
from shared.queue.store_gauges import StoreGauge, keep_counting
from shared.settings import SettingsError, WorkerProcessSettings
from shared.store.interface import ObjectStore
from shared.store.objects import open_store
from shared.store.self_test import check_conditional_writes

_log = logging.getLogger("mammostack.worker")


class WorkerProcess:
    """The application of a worker, and its store and broker, which each process opens for itself."""

    def __init__(self, settings: WorkerProcessSettings, gauges: Sequence[StoreGauge] = ()) -> None:
        self.settings = settings
        self._gauges = gauges
        self.app = make_app(settings.broker)
        self.shutting_down = threading.Event()
        self._main_process = os.getpid()
        self._idle = IdleMonitor()

    @cached_property
    def store(self) -> ObjectStore:
        """The store of MAMMO_STORE."""
        return open_store(self.settings.store)

    @cached_property
    def broker(self) -> Broker:
        """The broker; sending waits while it is unavailable."""
        return Broker(self.app, connect(self.settings.broker), patient=True)

    def end(self) -> None:
        """Send SIGTERM to the worker's main process; may be called in a child process."""
        os.kill(self._main_process, signal.SIGTERM)

    def listen(self) -> None:
        """Connect to Celery's signals of this process: start, readiness, fork of a child, end."""
        signals.worker_init.connect(self._prepare, weak=False)
        signals.worker_ready.connect(self._begin_counting, weak=False)
        signals.worker_process_init.connect(self._begin_child, weak=False)
        signals.worker_shutting_down.connect(self._note_shutdown, weak=False)
        signals.setup_logging.connect(_keep_our_logs, weak=False)

    def _prepare(self, **_: object) -> None:
        """Check broker and store at the start instead of failing in the middle of a run."""
        settings = self.settings
        try:
            client = connect(settings.broker)
            wait_for_broker(client)
            check_server(client)
            wait_for_server(lambda: check_conditional_writes(self.store), "the store of MAMMO_STORE", _log)
            self._serve_metrics()
        except MammoError as error:
            raise SystemExit(f"mammostack: {error}") from error
        except Exception as error:  # Celery would log it, and let a worker begin that is not tested or not watched
            _log.exception("the preparation of the worker failed")
            raise SystemExit("mammostack: the preparation of the worker failed; see the log above") from error
        if settings.worker.idle_s:
            self._idle.end_after(settings.worker.idle_s, self.end)

    def _serve_metrics(self) -> None:
        """Serve the worker's metrics, where a port is set.

        Raises:
            SettingsError: the port can't be had.
        """
        worker = self.settings.worker
        if not worker.metrics_port:
            return
        series = metrics.registry()
        series.register(BrokerCollector(self.settings.broker))
        try:
            start_http_server(worker.metrics_port, addr=worker.metrics_host, registry=series)
        except OSError as error:
            raise SettingsError(
                f"MAMMO_METRICS_PORT: {worker.metrics_port} of {worker.metrics_host} can't be had ({error.strerror}); "
                "choose another port, or 0 for none"
            ) from error

    def _begin_counting(self, **_: object) -> None:
        """Start the threads that count, once the first children are forked."""
        if self.settings.worker.metrics_port:
            for gauge in self._gauges:
                keep_counting(gauge, open_store(self.settings.store), self.settings.broker)

    def _begin_child(self, **_: object) -> None:
        """Drop the parent's connections, which a child must not share; its own counts need room first."""
        try:
            wait_for_room(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]), METRICS_ROOM, _log)
        except MammoError as error:  # the next child would fare no better
            _log.error("%s", error)
            self.end()
            raise SystemExit(1) from error
        metrics.CHILDREN_STARTED.inc()
        for opened in ("store", "broker"):
            self.__dict__.pop(opened, None)

    def _note_shutdown(self, **_: object) -> None:
        self.shutting_down.set()


def _keep_our_logs(**_: object) -> None:
    """Keep Celery from configuring logging, as any receiver of this signal does."""
