"""Keyed hashes in place of the ids of patients, exams and films.

The same key gives the same pseudonym again, so that a data set can grow. Without the key no pseudonym can be computed
from an id, not even by trying all ids there are.
"""

import hashlib

_BYTES = 10


class Pseudonyms:
    """Makes pseudonyms by keyed BLAKE2b (RFC 7693)."""

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.blake2b(key).digest()

    def __call__(self, kind: str, name: str) -> str:
        """Return the pseudonym of a thing of a kind, such as 'patient': its first letter and 20 hexadecimal digits."""
        return f"{kind[0]}{self._hash(kind, name, _BYTES).hex()}"

    def uid(self, uid: str) -> str:
        """Return a DICOM UID in place of another (PS3.5 B.2: 2.25 and a number of 128 bits)."""
        return f"2.25.{int.from_bytes(self._hash('uid', uid, 16))}"

    def _hash(self, kind: str, name: str, size: int) -> bytes:
        return hashlib.blake2b(name.encode(), digest_size=size, key=self._key, person=kind.encode()).digest()
