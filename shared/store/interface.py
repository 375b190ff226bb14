"""The object store as the rest of the code sees it. Its two forms are a directory (`directory`) and S3 (`s3`).

Both honour conditional writes, on which "exactly once" rests: `if_absent` writes only where there is nothing yet,
`if_match` only over the version that was read. One test suite runs over both.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Stored:
    """An object as it was read; `etag` names this version of it."""

    data: bytes
    etag: str


@dataclass(frozen=True)
class Entry:
    """An object as it is listed; `modified` is in seconds since the epoch, by the store's clock."""

    key: str
    modified: float


class ObjectStore(Protocol):
    """Whole objects under keys such as `raw/mias/manifest.json`. Safe to use from several threads."""

    def read(self, key: str) -> Stored:
        """Raises ObjectNotFound."""

    def get(self, key: str) -> bytes:
        """The bytes alone. Raises ObjectNotFound."""

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """Writes the whole object or nothing, and returns its etag.

        Raises:
            PreconditionFailed: a condition does not hold.
        """

    def exists(self, key: str) -> bool: ...

    def size(self, key: str) -> int:
        """Its bytes, without reading them. Raises ObjectNotFound."""

    def entries(self, prefix: str) -> Iterator[Entry]:
        """All objects whose keys begin with `prefix`, which is empty or ends with a slash, in order of keys."""

    def list(self, prefix: str) -> Iterator[str]:
        """The keys of `entries`."""

    def delete(self, key: str) -> None:
        """Removes the object; nothing happens when there is none."""

    def discard_partial(self, prefix: str) -> int:
        """Removes what writers that died have left half-written below `prefix`, and returns how many there were.

        The caller promises that nobody writes below `prefix` meanwhile.
        """

    def locate(self, key: str) -> str:
        """Where a person finds it: a path or an s3:// address."""

    def __hash__(self) -> int: ...
