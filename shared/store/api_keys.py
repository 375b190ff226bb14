"""API keys of the inference service, stored as hashes in one object.

Every replica sees a new or revoked key within seconds; reading the object reveals no key. A key is
`mammo_<id>_<secret>` with 256 random bits in the secret; for such a secret one round of SHA-256 is as good as a slow
hash, which is meant for passwords. `rotate_key` replaces a key without a gap.
"""

import hmac
import json
import re
import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import Field

from shared.api.keys import Scope
from shared.digests import sha256_hex
from shared.domain.records import Record
from shared.errors import InputError, KeyUnknown, ObjectNotFound, ObjectUnreadable, PreconditionFailed
from shared.store import layout
from shared.store.documents import document, parse_document, read_document
from shared.store.interface import ObjectStore

_FORMAT = re.compile(r"mammo_([0-9a-f]{8})_([A-Za-z0-9_-]{40,80})")
_TRIES = 8


class ApiKey(Record):
    """Stored properties of a key; `expires` is a UTC time in ISO format.

    A revoked key stays, and expired when it was created: so a service knows that it was revoked, of whatever release.
    """

    id: str
    name: str
    scopes: tuple[Scope, ...]
    sha256: str = Field(description="of the whole key")
    created: str
    expires: str | None = None
    requests_a_minute: int | None = None
    requests_at_once: int | None = None

    def is_valid(self, now: datetime) -> bool:
        return self.expires is None or now < datetime.fromisoformat(self.expires)

    def ends_within(self, now: datetime, span: timedelta) -> bool:
        return self.expires is not None and datetime.fromisoformat(self.expires) < now + span

    @property
    def is_revoked(self) -> bool:
        return self.expires is not None and self.expires <= self.created


class KeyRing(Record):
    """All keys, in the order in which they were made; revoked ones too."""

    keys: tuple[ApiKey, ...] = ()

    @property
    def unrevoked(self) -> tuple[ApiKey, ...]:
        return tuple(key for key in self.keys if not key.is_revoked)

    def find(self, key: str, now: datetime) -> ApiKey | None:
        """Find the valid stored key for `key`, comparing hashes in constant time."""
        known = self._known(key)
        return known if known and known.is_valid(now) else None

    def knows(self, key: str) -> bool:
        """Return whether `key` is stored, be it valid, expired or revoked."""
        return self._known(key) is not None

    def _known(self, key: str) -> ApiKey | None:
        parts = _FORMAT.fullmatch(key)
        known = next((each for each in self.keys if parts and each.id == parts[1]), None)
        same = hmac.compare_digest(hash_of(key), known.sha256 if known else hash_of(""))
        return known if same else None


def hash_of(key: str) -> str:
    return sha256_hex(key.encode())


def new_key() -> str:
    return f"mammo_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"


def describe_key(
    key: str,
    name: str,
    scopes: Iterable[Scope],
    *,
    days: int | None = None,
    requests_a_minute: int | None = None,
    requests_at_once: int | None = None,
) -> ApiKey:
    """Describe a key for storage.

    Raises:
        InputError: the key does not have the format of `new_key`.
    """
    parts = _FORMAT.fullmatch(key)
    if parts is None:
        raise InputError(
            "an API key has the format mammo_<8 hexadecimal digits>_<40 to 80 letters and digits>; create one with "
            "`mammo keys create`"
        )
    now = datetime.now(UTC)
    return ApiKey(
        id=parts[1],
        name=layout.check_name("key", name),
        scopes=tuple(dict.fromkeys(scopes)),
        sha256=hash_of(key),
        created=now.isoformat(timespec="seconds"),
        expires=(now + timedelta(days=days)).isoformat(timespec="seconds") if days else None,
        requests_a_minute=requests_a_minute,
        requests_at_once=requests_at_once,
    )


def read_keys(store: ObjectStore) -> KeyRing:
    """All keys; an empty ring where none was ever made."""
    try:
        return read_document(store, layout.api_keys(), KeyRing)
    except ObjectNotFound:
        return KeyRing()


def add_key(store: ObjectStore, key: ApiKey, *, anew: bool = False) -> None:
    """Add a key; a key with the same id is replaced, so repeating it is safe.

    Args:
        anew: whether keys that can't be read are given up, and this one is the first.

    Raises:
        ObjectUnreadable: the keys can't be read.
    """
    _change(store, lambda ring: KeyRing(keys=(*(each for each in ring.keys if each.id != key.id), key)), anew=anew)


def revoke_key(store: ObjectStore, key_id: str) -> ApiKey:
    """Revoke a key for good and return its stored properties of before.

    Raises:
        KeyUnknown: there is no key with this id.
    """
    known = _get(read_keys(store), key_id)

    def revoke(ring: KeyRing) -> KeyRing:
        return KeyRing(
            keys=tuple(
                each.model_copy(update={"expires": each.created}) if each.id == key_id else each for each in ring.keys
            )
        )

    _change(store, revoke)
    return known


def rotate_key(store: ObjectStore, key_id: str, overlap_hours: float) -> tuple[str, ApiKey]:
    """Create a key with the name, scopes and limits of an old one.

    The old key expires after `overlap_hours`. The lifetime of an expiring key is passed on to the new one.

    Returns:
        The new key and its stored properties.

    Raises:
        KeyUnknown: there is no key with this id.
    """
    now, key = datetime.now(UTC), new_key()
    old = _get(read_keys(store), key_id)
    life = datetime.fromisoformat(old.expires) - datetime.fromisoformat(old.created) if old.expires else None
    created = describe_key(
        key, old.name, old.scopes, requests_a_minute=old.requests_a_minute, requests_at_once=old.requests_at_once
    ).model_copy(update={"expires": (now + life).isoformat(timespec="seconds") if life else None})
    ends = min(filter(None, (old.expires, (now + timedelta(hours=overlap_hours)).isoformat(timespec="seconds"))))

    def replace(ring: KeyRing) -> KeyRing:
        ending = tuple(
            each.model_copy(update={"expires": ends}) if each.id == key_id else each
            for each in ring.keys
            if each.is_valid(now) or each.is_revoked
        )
        return KeyRing(keys=(*ending, created))

    _change(store, replace)
    return key, created


def _get(ring: KeyRing, key_id: str) -> ApiKey:
    for each in ring.unrevoked:
        if each.id == key_id:
            return each
    raise KeyUnknown(f"there is no API key '{key_id}'; see `mammo keys list`")


def _change(store: ObjectStore, change: Callable[[KeyRing], KeyRing], *, anew: bool = False) -> None:
    """Read, change and write the keys; retry if another process was faster."""
    for attempt in range(_TRIES):
        try:
            stored = store.read(layout.api_keys())
        except ObjectNotFound:
            stored = None
        try:
            ring = parse_document(layout.api_keys(), stored.data, KeyRing) if stored else KeyRing()
        except ObjectUnreadable:
            if not anew:
                raise
            ring = KeyRing()
            stored_fields: dict[str, Any] = {}
        else:
            stored_fields = json.loads(stored.data) if stored else {}
        data = _with_unknown_fields(change(ring), stored_fields)
        try:
            if stored:
                store.put(layout.api_keys(), data, if_match=stored.etag)
            else:
                store.put(layout.api_keys(), data, if_absent=True)
            return
        except PreconditionFailed:
            if attempt == _TRIES - 1:
                raise


def _with_unknown_fields(ring: KeyRing, stored: dict[str, Any]) -> bytes:
    """Return the stored form of the keys, with the fields that a later release gave them: they may bound the keys."""
    written = json.loads(document(ring))
    known = {key["id"]: key for key in stored.get("keys", ())}
    keys = [known.get(key["id"], {}) | key for key in written.pop("keys")]
    return json.dumps({**stored, **written, "keys": keys}, indent=1, ensure_ascii=False).encode()
