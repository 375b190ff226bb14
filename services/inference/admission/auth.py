"""Authenticate API keys; enforce their scopes and limits.

Keys are read from the store (`shared.store.api_keys`) every few seconds, so that new and revoked keys take effect. If
the service listens on loopback only, the key of `MAMMO_API_KEY` is accepted as well, unless the store knows it: a key
that was limited or revoked there stays so.
"""

import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from shared import metrics
from shared.api.keys import SCOPES, Scope
from shared.errors import (
    AccessError,
    InputError,
    LimitReached,
    MammoError,
    NotAllowed,
    NotAuthenticated,
    StoreError,
    StoreUnavailable,
)
from shared.logs import Repeats
from shared.settings import ClientSettings, ServingSettings
from shared.store.api_keys import ApiKey, KeyRing, describe_key, read_keys
from shared.store.interface import ObjectStore

_WARNED = timedelta(days=7)
"""Before a key ends, requests with it are counted."""

_log = logging.getLogger("mammostack.inference")


@dataclass
class _KeyUsage:
    """Use of a key's limits. `tokens` are available requests, refilled over a minute; `rate` is the limit they fit."""

    rate: int | None
    tokens: float
    at: float
    in_hand: int = 0


@dataclass
class Authenticator:
    """The keys of one process. Safe to use from several threads.

    Limits hold for each replica of the service by itself.
    """

    store: ObjectStore
    local: ApiKey | None = None
    clock: Callable[[], float] = time.monotonic
    _own: KeyRing | None = field(init=False)
    _ring: KeyRing | None = None
    _uses: dict[str, _KeyUsage] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _repeats: Repeats = field(default_factory=Repeats)
    _ending: defaultdict[str, Repeats] = field(default_factory=lambda: defaultdict(Repeats))

    def __post_init__(self) -> None:
        self._own = KeyRing(keys=(self.local,)) if self.local else None

    def refresh(self) -> None:
        """Read the keys again; keep the known ones while the store is unavailable."""
        try:
            self._ring = read_keys(self.store)
        except StoreError as error:
            metrics.KEYS_UNREAD.set(1)
            if self._repeats.is_due(str(error)):
                _log.warning("keys not read", extra={"reason": str(error)})
        else:
            metrics.KEYS_UNREAD.set(0)

    def enter(self, header: str | None, scope: Scope) -> ApiKey:
        """Authenticate an `Authorization` header and count its request.

        The caller calls `leave` at the end of the request.

        Raises:
            NotAuthenticated: there is no valid key.
            NotAllowed: the key lacks the scope.
            LimitReached: a limit of the key is reached.
            StoreUnavailable: the keys could not be read yet.
        """
        try:
            key = self._find(header)
            if scope not in key.scopes and "admin" not in key.scopes:
                raise NotAllowed(f"the API key '{key.name}' lacks the scope {scope}; use a key that has it")
            self._count(key)
        except MammoError as error:
            metrics.REFUSALS.labels(error.code).inc()
            raise
        self._warn_of_its_end(key)
        return key

    def leave(self, key: ApiKey) -> None:
        """Count the end of a request."""
        with self._lock:
            self._uses[key.id].in_hand -= 1

    def _find(self, header: str | None) -> ApiKey:
        kind, _, key = (header or "").partition(" ")
        if kind.lower() != "bearer" or not key.strip():
            raise NotAuthenticated(
                "the request has no API key; send it as 'Authorization: Bearer KEY' (created by `mammo keys create`)"
            )
        ring, now = self._ring, datetime.now(UTC)
        local = self._own and self._own.find(key.strip(), now)
        if ring is None and not local:
            raise StoreUnavailable(
                "the API keys could not be loaded because the store of MAMMO_STORE is unavailable; try again"
            )
        found = ring.find(key.strip(), now) if ring and ring.knows(key.strip()) else local
        if not found:
            raise NotAuthenticated("the API key is unknown, revoked or expired; request a new one")
        return found

    def _warn_of_its_end(self, key: ApiKey) -> None:
        if key.ends_within(datetime.now(UTC), _WARNED):
            metrics.ENDING_KEY_REQUESTS.inc()
            if self._ending[key.id].is_due(key.id):
                _log.warning("API key ends soon", extra={"key": key.id, "key_name": key.name, "ends": key.expires})

    def _count(self, key: ApiKey) -> None:
        now, rate = self.clock(), key.requests_a_minute
        with self._lock:
            use = self._uses.setdefault(key.id, _KeyUsage(rate, rate or 0, now))
            if use.rate != rate:  # a limit that is new or another begins with all its requests
                use.rate, use.tokens = rate, rate or 0
            if rate:
                use.tokens = min(rate, use.tokens + (now - use.at) * rate / 60)
            use.at = now
            if key.requests_at_once and use.in_hand >= key.requests_at_once:
                raise LimitReached(
                    f"the API key '{key.name}' has {use.in_hand} concurrent requests, its limit; "
                    "wait until one has finished",
                    1,
                )
            if rate and use.tokens < 1:
                raise LimitReached(
                    f"the API key '{key.name}' is limited to {rate} requests per minute; try again later",
                    math.ceil((1 - use.tokens) * 60 / rate),
                )
            if rate:
                use.tokens -= 1
            use.in_hand += 1


def local_key(client: ClientSettings, serving: ServingSettings) -> ApiKey | None:
    """Return the stored properties of `MAMMO_API_KEY` if the service is on loopback only.

    Raises:
        InputError: the key is malformed, or MAMMO_API_KEY_SCOPES names no scope.
    """
    if not client.key or not serving.serves_loopback_alone:
        return None
    named = [name.strip() for name in serving.local_scopes.split(",")]
    if unknown := [name for name in named if name not in SCOPES]:
        raise InputError(f"MAMMO_API_KEY_SCOPES: '{unknown[0]}' is not a scope; choose from {', '.join(SCOPES)}")
    return describe_key(client.key, "local", [scope for scope in SCOPES if scope in named])


class NoKeys(AccessError):
    """Refusal to listen on a public address without API keys."""

    code = "no-keys"


def check_keys_exist(store: ObjectStore, serving: ServingSettings) -> None:
    """Refuse to listen on a public address without API keys.

    If the store is unavailable the service starts nevertheless: no request is answered before the keys are read.

    Raises:
        NoKeys: the service would listen beyond loopback without a valid API key.
    """
    if serving.serves_loopback_alone:
        return
    try:
        ring = read_keys(store)
    except StoreUnavailable as error:
        _log.warning("keys not read", extra={"reason": str(error)})
        return
    if not any(key.is_valid(datetime.now(UTC)) for key in ring.keys):
        raise NoKeys(
            f"the service would listen on {serving.host}, but there are no API keys; create one with `mammo keys "
            "create NAME --scope predict`, or set MAMMO_SERVE_HOST=127.0.0.1"
        )
