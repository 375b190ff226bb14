"""Who may ask: finds the key that came with a request, and keeps to what the key is good for and how often.

Keys come from the store (see `shared.store.api_keys`) and are read again and again, so that a new or a revoked one
counts within seconds. While the service listens on loopback alone, the key of `MAMMO_API_KEY` is taken as well.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from shared import metrics
from shared.api.keys import SCOPES, Scope
from shared.errors import (
    AccessError,
    LimitReached,
    MammoError,
    NotAllowed,
    NotAuthenticated,
    StoreError,
    StoreUnavailable,
)
from shared.settings import ServingSettings
from shared.store.api_keys import ApiKey, KeyRing, describe_key, read_keys
from shared.store.interface import ObjectStore

_log = logging.getLogger("mammostack.inference")


@dataclass
class _Use:
    """How much of a key's limits is used. `tokens` are requests that may come at once; a minute fills them up."""

    tokens: float
    at: float
    in_hand: int = 0


@dataclass
class Access:
    """The keys of one process. Safe to use from several threads.

    Limits hold for each replica of the service by itself.
    """

    store: ObjectStore
    local: ApiKey | None = None
    clock: Callable[[], float] = time.monotonic
    _own: KeyRing | None = field(init=False)
    _ring: KeyRing | None = None
    _uses: dict[str, _Use] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._own = KeyRing(keys=(self.local,)) if self.local else None

    def refresh(self) -> None:
        """Reads the keys again; those that are known stay when the store is away."""
        try:
            self._ring = read_keys(self.store)
        except StoreError as error:
            _log.warning("keys not read", extra={"reason": str(error)})

    def enter(self, header: str | None, scope: Scope) -> ApiKey:
        """The key of an `Authorization` header, its request counted; `leave` has to follow.

        Raises:
            NotAuthenticated: no valid key came.
            NotAllowed: the key lacks the scope.
            LimitReached: by the key's limits.
            StoreUnavailable: the keys could not be read yet.
        """
        try:
            key = self._find(header)
            if scope not in key.scopes and "admin" not in key.scopes:
                raise NotAllowed(f"the API key '{key.name}' lacks the scope {scope}; ask for one that has it")
            self._count(key)
        except MammoError as error:
            metrics.REFUSALS.labels(error.code).inc()
            raise
        return key

    def leave(self, key: ApiKey) -> None:
        """The request of a key has been answered."""
        with self._lock:
            self._uses[key.id].in_hand -= 1

    def _find(self, header: str | None) -> ApiKey:
        kind, _, key = (header or "").partition(" ")
        if kind.lower() != "bearer" or not key.strip():
            raise NotAuthenticated("send an API key as 'Authorization: Bearer KEY'; `mammo keys create` makes one")
        ring, now = self._ring, datetime.now(UTC)
        local = self._own and self._own.find(key.strip(), now)
        if ring is None and not local:
            raise StoreUnavailable("the API keys could not be read yet: the store of MAMMO_STORE is away; try again")
        found = local or (ring and ring.find(key.strip(), now))
        if not found:
            raise NotAuthenticated("the API key is not known, was revoked or has ended; ask for a new one")
        return found

    def _count(self, key: ApiKey) -> None:
        now, rate = self.clock(), key.requests_a_minute
        with self._lock:
            use = self._uses.setdefault(key.id, _Use(rate or 0, now))
            if rate:
                use.tokens = min(rate, use.tokens + (now - use.at) * rate / 60)
            use.at = now
            if key.requests_at_once and use.in_hand >= key.requests_at_once:
                raise LimitReached(
                    f"the API key '{key.name}' has {use.in_hand} requests at work already, as many as it may; wait "
                    "for one of them",
                    1,
                )
            if rate and use.tokens < 1:
                raise LimitReached(
                    f"the API key '{key.name}' may ask {rate} times a minute; try again later",
                    math.ceil((1 - use.tokens) * 60 / rate),
                )
            use.tokens -= 1
            use.in_hand += 1


def local_key(config: ServingSettings) -> ApiKey | None:
    """What is to be kept of `MAMMO_API_KEY`, if the service listens on loopback alone. Raises InputError."""
    key = config.api_key and config.api_key.get_secret_value()
    return describe_key(key, "local", SCOPES) if key and config.serves_loopback_alone else None


class NoKeys(AccessError):
    """The service would listen beyond this machine, and nobody could be told from anybody."""

    code = "no-keys"


def check_somebody_may_ask(store: ObjectStore, config: ServingSettings) -> None:
    """Asked at start. A store that is away is no reason not to start: nothing is answered before its keys are read.

    Raises:
        NoKeys: the service would listen beyond loopback, and there is no valid API key.
    """
    if config.serves_loopback_alone:
        return
    try:
        ring = read_keys(store)
    except StoreUnavailable as error:
        _log.warning("keys not read", extra={"reason": str(error)})
        return
    if not any(key.is_valid(datetime.now(UTC)) for key in ring.keys):
        raise NoKeys(
            f"the service would listen on {config.serve_host}, and there is no API key; make one with `mammo keys "
            "create NAME --scope predict`, or set MAMMO_SERVE_HOST=127.0.0.1"
        )
