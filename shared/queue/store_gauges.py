"""Gauges that are counted from the store and the broker now and then, in the main process of a worker."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import Gauge

from shared.errors import MammoError
from shared.logs import Repeats
from shared.queue.broker import Broker
from shared.settings import BrokerSettings
from shared.store.interface import ObjectStore

EVERY_S = 60.0
_log = logging.getLogger("mammostack.worker")


@dataclass(frozen=True)
class StoreGauge:
    """A gauge, and what counts its value."""

    gauge: Gauge
    count: Callable[[ObjectStore, Broker], int]


def keep_counting(gauge: StoreGauge, store: ObjectStore, settings: BrokerSettings, every_s: float = EVERY_S) -> None:
    """Set a gauge every `every_s` seconds, in a thread; while it can't be counted it stays as it is."""
    repeats = Repeats()

    def count() -> None:
        broker = Broker.open(settings)
        while True:
            try:
                gauge.gauge.set(gauge.count(store, broker))
            except MammoError as error:
                if repeats.is_due(str(error)):
                    _log.warning("a gauge can't be counted", extra={"reason": str(error)})
            ended.wait(every_s)

    ended = threading.Event()
    threading.Thread(target=count, name="gauges", daemon=True).start()
