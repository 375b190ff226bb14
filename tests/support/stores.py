"""Object stores for tests: what one holds, and a new bucket."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from shared.settings import StoreSettings
from shared.store.interface import ObjectEntry, ObjectStore


def contents(store: ObjectStore) -> dict[str, bytes]:
    return {key: store.get(key) for key in store.list("")}


def new_bucket(client: Any) -> str:
    """Give the name of a bucket that this call makes."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    return name


def settings_for(store: str, endpoint: str | None = None) -> StoreSettings:
    return StoreSettings(url=store, s3_endpoint_url=endpoint)


class AgedStore:
    """A store with a clock that tests set: objects that are written have its time, all others time 0.

    Attributes:
        now: time of what is written.
        before_deletion: called with the key of each object that is about to be deleted.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._written: dict[str, float] = {}
        self.now = 0.0
        self.before_deletion: Callable[[str], object] = lambda _key: None

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        etag = self._store.put(key, data, if_absent=if_absent, if_match=if_match)
        self._written[key] = self.now
        return etag

    def entry(self, key: str) -> ObjectEntry:
        return self._aged(self._store.entry(key))

    def entries(self, prefix: str) -> Iterator[ObjectEntry]:
        return map(self._aged, self._store.entries(prefix))

    def delete(self, key: str) -> None:
        self.before_deletion(key)
        self._store.delete(key)

    def delete_inside(self, key: str) -> None:
        """Delete an object as another process would."""
        self._store.delete(key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def _aged(self, entry: ObjectEntry) -> ObjectEntry:
        return replace(entry, modified=self._written.get(entry.key, 0.0))
