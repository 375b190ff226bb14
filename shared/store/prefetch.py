"""Prefetch reads and write behind, so that the worker never waits for the store.

When the block ends without an error, everything is written.
"""

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Protocol, Self

from shared.store.interface import ObjectStore

THREADS = 8
"""Requests at a time. S3 answers within some tens of milliseconds, and an image is made in ten or twenty."""


class ObjectAccess(Protocol):
    """The part of a store that the worker's computation uses."""

    def get(self, key: str) -> bytes:
        """Read an object.

        Raises:
            ObjectNotFound: there is no such object.
        """

    def put(self, key: str, data: bytes) -> object: ...


class PrefetchingStore:
    """A store whose reads and writes overlap with computation.

    `put` returns before the object is written. Its error is raised by a later `put`, or at the end of the block.
    """

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
        """Start reading objects that will be needed, unless they are being read already."""
        for key in keys:
            if key not in self._reading:
                self._reading[key] = self._threads.submit(self._store.get, key)

    def get(self, key: str) -> bytes:
        """Read an object.

        Raises:
            ObjectNotFound: there is no such object.
        """
        expected = self._reading.pop(key, None)
        return self._store.get(key) if expected is None else expected.result()

    def put(self, key: str, data: bytes) -> None:
        """Write an object in the background.

        With THREADS objects pending it waits for the oldest, to bound the memory.
        """
        if len(self._writing) >= THREADS:
            self._writing.pop(0).result()
        self._writing.append(self._threads.submit(self._store.put, key, data))
