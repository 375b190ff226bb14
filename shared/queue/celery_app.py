"""The Celery application, and the checks of a worker before its first unit."""

import logging
import os
import signal
import threading
import time
from functools import cache

from celery import Celery, signals
from prometheus_client import start_http_server

from shared import metrics
from shared.errors import MammoError, StoreUnavailable
from shared.logs import configure_logs
from shared.queue.broker import Broker, check_nothing_is_evicted, connect, wait_for_broker
from shared.queue.broker_metrics import BrokerCollector
from shared.queue.idle import IdleMonitor
from shared.queue.transport import take_over_redis
from shared.settings import BrokerSettings, StoreSettings, WorkerSettings, settings
from shared.store.interface import ObjectStore
from shared.store.objects import open_store
from shared.store.self_test import check_conditional_writes

shutting_down = threading.Event()
_main_process = os.getpid()
_idle = IdleMonitor()  # held here: signals keep no reference to what is connected
_log = logging.getLogger("mammostack.worker")


def make_app(config: BrokerSettings) -> Celery:
    """Create the Celery application, with the same options for workers and senders.

    A shorter visibility time-out in one process would deliver the messages of the others twice.
    """
    take_over_redis()
    app = Celery("mammostack", broker=config.redis_url.get_secret_value())
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,  # "read only" and "out of memory" are answers, and pass
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_transport_options={
            "visibility_timeout": config.visibility_timeout_s,
            "unacked_restore_interval": 2,
            "unacked_restore_throttle": 1,
            # a worker that is killed while it looks for lost messages must not keep the others from looking
            "unacked_mutex_expire": 5,
            "socket_connect_timeout": 5,
            "socket_timeout": 30,
            "socket_keepalive": True,
        },
    )
    return app


@cache
def worker_store() -> ObjectStore:
    """Open the store of this process."""
    return open_store(settings(StoreSettings))


@cache
def worker_broker(app: Celery) -> Broker:
    """Connect this process to the broker."""
    return Broker(app, connect(settings(BrokerSettings)), patient=True)


def end_worker() -> None:
    """Send SIGTERM to the worker's main process; may be called in a child process."""
    os.kill(_main_process, signal.SIGTERM)


@signals.worker_init.connect
def _prepare(**_: object) -> None:
    """Check broker and store at the start instead of failing in the middle of a run."""
    global _main_process  # noqa: PLW0603  known once the worker has started, and inherited by its children
    _main_process = os.getpid()
    config = settings(WorkerSettings)
    configure_logs(config.log_level)
    try:
        client = connect(config)
        wait_for_broker(client)
        check_nothing_is_evicted(client)
        _wait_for_store()
    except MammoError as error:
        raise SystemExit(f"mammostack: {error}") from error
    except Exception as error:  # Celery would log it, and let a worker begin whose store and broker are not tested
        _log.exception("the tests of broker and store failed")
        raise SystemExit("mammostack: the tests of broker and store failed; see the log above") from error
    if config.metrics_port:
        series = metrics.registry()
        series.register(BrokerCollector(config))
        start_http_server(config.metrics_port, addr=config.metrics_host, registry=series)
    if config.worker_idle_s:
        _idle.end_after(config.worker_idle_s, end_worker)


def _wait_for_store() -> None:
    """Wait until the store passes its test; log a warning every few seconds."""
    while True:
        try:
            return check_conditional_writes(worker_store())
        except StoreUnavailable as error:
            _log.warning("waiting for the store of MAMMO_STORE", extra={"reason": str(error)})
            time.sleep(5)


@signals.worker_process_init.connect
def _begin_child(**_: object) -> None:
    """Open new connections in a child process: it must not share its parent's."""
    for cached in (worker_store, worker_broker):
        cached.cache_clear()


@signals.worker_shutting_down.connect
def _note_shutdown(**_: object) -> None:
    shutting_down.set()


@signals.setup_logging.connect
def _keep_our_logs(**_: object) -> None:
    """Keep Celery from configuring logging, as any receiver of this signal does."""
