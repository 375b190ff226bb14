"""The gateway's process: watch, DICOM listener, and HTTP with STOW-RS, probes and metrics."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, Response
from gunicorn.app.base import BaseApplication

from services.gateway.bootstrap import archive_of, destinations_of, listener_options, wanted_kinds
from services.gateway.inbox import keep
from services.gateway.stability import StabilityOptions
from services.gateway.transport.scp import start_listener
from services.gateway.transport.stow import blueprint
from services.gateway.watch import Watch
from shared import metrics
from shared.addresses import netloc
from shared.errors import MammoError
from shared.queue.broker import Broker, connect
from shared.queue.celery_app import make_app
from shared.settings import GatewayProcessSettings
from shared.store.interface import ObjectStore
from shared.store.objects import open_store

Arrivals = queue.SimpleQueue[str]
"""Studies, by their hashes, of films that were pushed."""

_THREADS = 8
_log = logging.getLogger("mammostack.gateway")


def make_watch(settings: GatewayProcessSettings, store: ObjectStore) -> Watch:
    """Create the watch over archive and inbox."""
    pacs = settings.pacs
    broker = Broker(make_app(settings.broker), connect(settings.broker), patient=False)
    archive = archive_of(settings) if pacs.url else None
    options = StabilityOptions(pacs.stable_s, pacs.wait_max_s, pacs.incomplete == "skip")
    return Watch(store, broker, archive, wanted_kinds(pacs), options, settings.gateway.keep_h * 3600)


def make_keep(settings: GatewayProcessSettings, store: ObjectStore, arrivals: Arrivals) -> Callable[[bytes], bool]:
    """Create what both listeners do with a film; the study of each new one goes to `arrivals`."""
    return lambda data: keep(store, data, settings.pacs.implants, arrivals.put)


def make_http(settings: GatewayProcessSettings, keep_film: Callable[[bytes], bool]) -> Flask:
    """Create the HTTP application."""
    app = Flask(__name__)
    token = settings.gateway.token.get_secret_value() or None
    app.register_blueprint(blueprint(listener_options(settings), keep_film, token))

    @app.get("/healthz")
    def healthz() -> Response:
        return Response('{"status":"alive"}', mimetype="application/json")

    @app.get("/metrics")
    def exposition() -> Response:
        return Response(metrics.exposition(), mimetype="text/plain; version=0.0.4")

    return app


def start_threads(
    settings: GatewayProcessSettings, store: ObjectStore, keep_film: Callable[[bytes], bool], arrivals: Arrivals
) -> None:
    """Start the DICOM listener, if there is one, and the watch; both end with the process."""
    if settings.gateway.dicom_port:
        start_listener(listener_options(settings), keep_film)
    arguments = (make_watch(settings, store), arrivals, settings.pacs.poll_s)
    threading.Thread(target=watch_for_ever, args=arguments, name="watch", daemon=True).start()


def watch_for_ever(watch: Watch, arrivals: Arrivals, poll_s: float) -> None:
    """Look at everything every `poll_s` seconds, and meanwhile at each exam of which a film was pushed."""
    while True:
        _guarded(watch.look)
        next_look = time.monotonic() + poll_s
        while (left := next_look - time.monotonic()) > 0:
            try:
                study = arrivals.get(timeout=left)
            except queue.Empty:
                break
            _guarded(lambda: watch.look_at_received(study))  # noqa: B023  called at once


def _guarded(look: Callable[[], None]) -> None:
    try:
        look()
    except MammoError as error:
        _log.warning("gateway waits", extra={"reason": str(error)})
    except Exception as error:  # noqa: BLE001  the watch must go on; an error's words may quote a header
        _log.error("gateway's watch failed: %s", type(error).__name__)


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn with one process, which also holds listener and watch."""

    def __init__(self, settings: GatewayProcessSettings) -> None:
        self._settings = settings
        self._begin_threads: Callable[[], None] = lambda: None  # until `load`, which gunicorn calls first
        super().__init__()

    def load_config(self) -> None:
        gateway = self._settings.gateway
        options: dict[str, Any] = {
            "bind": netloc(gateway.host, gateway.port),
            "workers": 1,
            "worker_class": "gthread",
            "threads": _THREADS,
            "timeout": 120,
            "graceful_timeout": 20,
            "control_socket_disable": True,
            "loglevel": self._settings.log.level.lower(),
            "post_worker_init": self._begin,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        settings, arrivals = self._settings, Arrivals()
        store = open_store(settings.store)
        keep_film = make_keep(settings, store, arrivals)
        self._begin_threads = lambda: start_threads(settings, store, keep_film, arrivals)
        return make_http(settings, keep_film)

    def _begin(self, _worker: object) -> None:
        try:
            self._begin_threads()
        except MammoError as error:
            _log.critical("gateway ends: %s", error)
            raise SystemExit(4) from None  # gunicorn's status of an application that does not load


def serve(settings: GatewayProcessSettings) -> None:
    """Run the gateway until it is ended.

    Raises:
        SettingsError: there is no destination.
    """
    destinations_of(settings)
    _Server(settings).run()
