"""Gauges that are counted from store and broker."""

from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from shared.errors import StoreUnavailable
from shared.queue.broker import Broker
from shared.queue.store_gauges import StoreGauge, keep_counting
from shared.store.directory import DirectoryStore
from shared.store.interface import ObjectStore
from tests.support.servers import wait_until
from tests.support.settings import NO_BROKER


class TestKeepCounting:
    def test_the_gauge_follows_and_an_outage_leaves_it_as_it_is(self, tmp_path: Path) -> None:
        registry = CollectorRegistry()
        gauge, looks = Gauge("mammo_counted", "Counted", registry=registry), [0]

        def count(_store: ObjectStore, _broker: Broker) -> int:
            looks[0] += 1
            if looks[0] == 2:
                raise StoreUnavailable("away")
            return looks[0]

        keep_counting(StoreGauge(gauge, count), DirectoryStore(tmp_path), NO_BROKER, every_s=0.05)
        wait_until(lambda: registry.get_sample_value("mammo_counted") == 1, 5)
        wait_until(lambda: (registry.get_sample_value("mammo_counted") or 0) >= 3, 5)
