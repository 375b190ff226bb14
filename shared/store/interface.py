"""Interface of the object store, implemented by `directory` and `s3`.

Both support conditional writes, on which "exactly once" rests: `if_absent` writes only if there is no object yet,
`if_match` only over the version that was read. One test suite checks both.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class StoredObject:
    """An object as it was read; `etag` names this version of it."""

    data: bytes
    etag: str


@dataclass(frozen=True)
class ObjectEntry:
    """A listed object; `modified` is in seconds since the epoch, by the store's clock; `size` is in bytes."""

    key: str
    modified: float
    size: int


class ObjectStore(Protocol):
    """Whole objects under keys such as `raw/mias/manifest.json`; thread-safe."""

    def read(self, key: str) -> StoredObject:
        """Read an object with its etag.

        Raises:
            ObjectNotFound: there is no such object.
        """

    def get(self, key: str) -> bytes:
        """Read the bytes of an object.

        Raises:
            ObjectNotFound: there is no such object.
        """

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """Write the whole object or nothing, and return its etag.

        Raises:
            PreconditionFailed: a condition does not hold.
        """

    def exists(self, key: str) -> bool: ...

    def size(self, key: str) -> int:
        """Its bytes, without reading them. Raises ObjectNotFound."""

    def entry(self, key: str) -> ObjectEntry:
        """Return an object's time and size, without reading it. Raises ObjectNotFound."""

    def entries(self, prefix: str) -> Iterator[ObjectEntry]:
        """List all objects below `prefix`, in the order of their keys.

        `prefix` is empty or ends with a slash.
        """

    def list(self, prefix: str) -> Iterator[str]:
        """List the keys of `entries`."""

    def delete(self, key: str) -> None:
        """Delete the object, if it exists."""

    def discard_partial(self, prefix: str) -> int:
        """Remove partial writes of dead processes below `prefix`; return their number.

        The caller ensures that no process writes below `prefix` meanwhile.
        """

    def locate(self, key: str) -> str:
        """Return the path or s3:// address of an object, for display."""

    def __hash__(self) -> int: ...
