"""A store for one who makes object after object: what comes next is read, and what is done is written, while he works.

So the processor does not wait for the store. When the block is left without an error, all is written.
"""

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Protocol, Self

from shared.store.interface import ObjectStore

THREADS = 8
"""Requests at a time. S3 answers within some tens of milliseconds, and an image is made in ten or twenty."""


class Files(Protocol):
    """What is seen of a store by one who makes objects."""

    def get(self, key: str) -> bytes:
        """Raises ObjectNotFound."""

    def put(self, key: str, data: bytes) -> object: ...


class OverlappedStore:
    """`put` returns before the object is written. What goes wrong with it is raised by a later `put`, or when the block
    is left."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor(THREADS, "overlapped-store")
        self._reading: dict[str, Future[bytes]] = {}
        self._writing: list[Future[str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is being written any more when this returns, in whatever way."""
        self._threads.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for written in self._writing:
                written.result()

    def expect(self, keys: Iterable[str]) -> None:
        """Begins to read objects that will be asked for, but for those that are being read."""
        for key in keys:
            if key not in self._reading:
                self._reading[key] = self._threads.submit(self._store.get, key)

    def get(self, key: str) -> bytes:
        """Raises ObjectNotFound."""
        expected = self._reading.pop(key, None)
        return self._store.get(key) if expected is None else expected.result()

    def put(self, key: str, data: bytes) -> None:
        """With THREADS objects that are not yet written it waits for the oldest, so that they don't fill the memory."""
        if len(self._writing) >= THREADS:
            self._writing.pop(0).result()
        self._writing.append(self._threads.submit(self._store.put, key, data))
