"""Published models: versions, aliases and the audit trail of promotions.

A version's files are written below the digest of all of them, and its card, which names them, last and once. So a
version is complete or absent, also when two processes publish it at once. An alias is moved by a conditional write.
Models of the leaky protocol are never promoted.
"""

import json
import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import NamedTuple

from shared.digests import sha256_hex
from shared.domain.records import Record
from shared.errors import (
    ModelCorrupt,
    ModelNotFound,
    ObjectNotFound,
    ObjectUnreadable,
    PreconditionFailed,
    PromotionRefused,
)
from shared.modelling.card import ModelCard
from shared.modelling.predictions import FoldPredictions
from shared.modelling.promotion import PREDICTIONS, check_fit, check_not_worse
from shared.store import layout
from shared.store.documents import document, parse_document, read_document
from shared.store.interface import ObjectStore
from shared.store.unreferenced import remove_unreferenced

PRODUCTION, CANDIDATE = "production", "candidate"
ALIASES = (PRODUCTION, CANDIDATE)
CARD = "card.json"
_FILE = re.compile(r"[0-9a-f]{64}/.*")
_log = logging.getLogger("mammostack.store")


class AliasMove(Record):
    """An entry of the audit trail, and the content of an alias."""

    network: str
    alias: str
    version: str
    previous: str | None
    by: str
    why: str
    when: str
    forced: bool = False


@dataclass(frozen=True)
class MoveReason:
    """Who moves an alias, and why; kept in the audit trail."""

    by: str
    why: str


class _AliasState(NamedTuple):
    """The last move of an alias, None when it was never set, and the etag of the object that holds it."""

    move: AliasMove | None
    etag: str
    readable: bool = True


def publish(store: ObjectStore, card: ModelCard, files: Mapping[str, bytes]) -> ModelCard:
    """Write a version: its files, then its card with their digests.

    Repeating it changes nothing. If another process has published the version meanwhile, its card is returned.
    """
    digests = {name: sha256_hex(data) for name, data in files.items()}
    complete = card.model_copy(update={"files": digests})
    with suppress(ModelNotFound):
        complete = read_card(store, card.network, card.version)
    for name, data in files.items():
        if complete.files.get(name) == digests[name]:  # never other bytes under a card that is there
            store.put(file_key(complete, name), data)
    try:
        store.put(layout.model_card(card.network, card.version), document(complete, indent=1), if_absent=True)
    except PreconditionFailed:
        complete = read_card(store, card.network, card.version)
    named = tuple(file_key(complete, name) for name in complete.files)
    remove_unreferenced(store, layout.model(card.network, card.version), named, _FILE)
    return complete


def file_key(card: ModelCard, name: str) -> str:
    """Return the key of a version's file.

    Versions of before 0.2 have their files in the folder of the card.
    """
    content = sha256_hex(json.dumps(card.files, sort_keys=True).encode())
    return layout.model_file(card.network, card.version, content, name)


def networks(store: ObjectStore) -> list[str]:
    """Networks of which there is at least one version."""
    return sorted({key.split("/")[1] for key in store.list(layout.models()) if key.endswith(f"/{CARD}")})


def versions(store: ObjectStore, network: str) -> list[str]:
    """All versions of a network, the oldest first."""
    found = [PurePosixPath(key) for key in store.list(layout.models(network))]
    return [path.parent.name for path in found if path.name == CARD]


def read_card(store: ObjectStore, network: str, version: str) -> ModelCard:
    """Read the card of a version.

    Raises:
        ModelNotFound: there is no such version; names the existing ones.
        ModelCorrupt: it can't be read.
    """
    layout.check_name("network", network)
    layout.check_name("version", version)
    key = layout.model_card(network, version)
    try:
        return read_document(store, key, ModelCard)
    except ObjectUnreadable as error:
        raise ModelCorrupt(
            f"{key} is damaged or written by another release; restore it, or deploy that release"
        ) from error
    except ObjectNotFound:
        known = ", ".join(versions(store, network)) or "none"
        raise ModelNotFound(f"{network} has no version '{version}'; there are: {known}") from None


def read_file(store: ObjectStore, card: ModelCard, name: str) -> bytes:
    """Read a file of a version.

    Raises:
        ModelCorrupt: it is missing or differs from its digest.
    """
    key = file_key(card, name)
    try:
        data = store.get(key)
    except ObjectNotFound:
        data = _read_beside_card(store, card, name)
    if sha256_hex(data) != card.files.get(name):
        raise ModelCorrupt(f"{key} differs from its card's SHA-256; publish the model again")
    return data


def is_there(store: ObjectStore, card: ModelCard, name: str) -> bool:
    """Return whether a file of a version is in the store; it is not read."""
    return store.exists(file_key(card, name)) or store.exists(layout.model_file(card.network, card.version, "", name))


def _read_beside_card(store: ObjectStore, card: ModelCard, name: str) -> bytes:
    """Read a file of a version of before 0.2.

    Raises:
        ModelCorrupt: it is missing.
    """
    try:
        return store.get(layout.model_file(card.network, card.version, "", name))
    except ObjectNotFound:
        raise ModelCorrupt(f"{file_key(card, name)} is missing; publish the model again") from None


def read_alias(store: ObjectStore, network: str, alias: str = PRODUCTION) -> AliasMove:
    """Read an alias.

    Raises:
        ModelNotFound: it was never set.
        ObjectUnreadable: it is damaged; promoting a version replaces it.
    """
    try:
        return read_document(store, layout.alias(network, alias), AliasMove)
    except ObjectNotFound:
        raise _never_set(network, alias) from None


def promote(
    store: ObjectStore,
    network: str,
    version: str,
    reason: MoveReason,
    *,
    force: bool = False,
    only_if_better: bool = False,
    alias: str = PRODUCTION,
) -> AliasMove:
    """Point `alias` to `version` if the promotion gate accepts it.

    Only for `production` the version is compared with the model in use.

    Args:
        force: skip the comparison with the model in use; the leaky protocol and a graph that differs from torch are
            rejected nevertheless.
        only_if_better: reject a version that is merely not worse.

    Raises:
        ModelNotFound: there is no such version.
        ModelCorrupt: one of its files is damaged.
        PromotionRefused: the gate rejected the version.
    """
    card = read_card(store, network, version)
    check_fit(card)
    for name in card.files:
        read_file(store, card, name)
    found = _current(store, network, alias)
    current = found.move
    if current and current.version == version and found.readable:
        return current
    if current and current.version != version and alias == PRODUCTION and not force:
        in_use, judged = _in_use(store, card, current.version)
        check_not_worse(in_use, card, judged, only_if_better=only_if_better)
    return _move(store, network, alias, version, found, reason, forced=force)


def rollback(store: ObjectStore, network: str, reason: MoveReason, *, alias: str = PRODUCTION) -> AliasMove:
    """Point `alias` to the version that it had before the current one, and before that at the next rollback.

    Raises:
        ModelNotFound: there is no earlier version.
    """
    found = _current(store, network, alias)
    if (current := found.move) is None:
        raise _never_set(network, alias)
    _note(store, current)
    earlier = _versions_before(current, [move for move in _trail(store, network) if move.alias == alias])
    if not earlier:
        raise ModelNotFound(f"{network} {current.version} is the first '{alias}'; there is nothing to roll back to")
    try:
        read_card(store, network, earlier[-1])
    except ModelNotFound:
        raise ModelNotFound(
            f"{network} {earlier[-1]}, which was '{alias}' before {current.version}, is deleted; "
            f"`mammo models promote` sets another version"
        ) from None
    return _move(store, network, alias, earlier[-1], found, reason)


def _versions_before(current: AliasMove, trail: list[AliasMove]) -> list[str]:
    """Return the versions that an alias had before the current one, the oldest first.

    A move back to one of them, by rollback or promotion, takes those after it out of the row: they were left behind.
    """
    row: list[str] = []
    for move in (*trail, current):
        for version in (move.previous, move.version):  # the previous one: its own line may be lost
            if version in row:
                del row[row.index(version) + 1 :]
            elif version is not None:
                row.append(version)
    return row[:-1]


def history(store: ObjectStore, network: str) -> list[AliasMove]:
    """Return the audit trail, the oldest move first."""
    for key in store.list(layout.aliases(network)):
        with suppress(ObjectUnreadable):
            _note(store, read_document(store, key, AliasMove))
    return _trail(store, network)


def _trail(store: ObjectStore, network: str) -> list[AliasMove]:
    """Read the audit trail, without lines that can't be read."""
    moves = []
    for key in store.list(layout.audit(network)):
        try:
            moves.append(read_document(store, key, AliasMove))
        except ObjectUnreadable as error:
            _log.warning("a line of the audit trail is left out", extra={"reason": str(error)})
    return moves


def _in_use(
    store: ObjectStore, card: ModelCard, version: str
) -> tuple[ModelCard, tuple[FoldPredictions, FoldPredictions] | None]:
    """Read the card of the version in production and both versions' predictions.

    Raises:
        PromotionRefused: there is nothing to compare with.
    """
    try:
        in_use = read_card(store, card.network, version)
        return in_use, _judged(store, in_use, card)
    except (ModelNotFound, ModelCorrupt) as error:
        gone = "deleted" if isinstance(error, ModelNotFound) else f"damaged ({error})"
        raise PromotionRefused(
            f"{card.network} {version}, which is in production, is {gone}, so {card.version} can't be compared "
            f"with it; restore it, or promote {card.version} with --force and a --reason"
        ) from error


def _judged(store: ObjectStore, *cards: ModelCard) -> tuple[FoldPredictions, FoldPredictions] | None:
    """Read both versions' predictions of their held-out films; None if one has none."""
    if any(PREDICTIONS not in card.files for card in cards):
        return None
    one, other = (
        parse_document(file_key(card, PREDICTIONS), read_file(store, card, PREDICTIONS), FoldPredictions)
        for card in cards
    )
    return one, other


def _never_set(network: str, alias: str) -> ModelNotFound:
    return ModelNotFound(f"no version of {network} is '{alias}'; set it with `mammo models promote {network} VERSION`")


def _current(store: ObjectStore, network: str, alias: str) -> _AliasState:
    """Read the current move of an alias and its etag; the audit trail tells the move where the alias can't be read."""
    key = layout.alias(network, alias)
    try:
        stored = store.read(key)
    except ObjectNotFound:
        return _AliasState(None, "")
    try:
        return _AliasState(parse_document(key, stored.data, AliasMove), stored.etag)
    except ObjectUnreadable as error:
        _log.warning("the audit trail stands for the alias", extra={"reason": str(error)})
        moves = [move for move in _trail(store, network) if move.alias == alias]
        return _AliasState(moves[-1] if moves else None, stored.etag, readable=False)


def _move(
    store: ObjectStore,
    network: str,
    alias: str,
    version: str,
    found: _AliasState,
    reason: MoveReason,
    *,
    forced: bool = False,
) -> AliasMove:
    """Move the alias away from `current`, unless it was moved meanwhile."""
    current = found.move
    if current:
        _note(store, current)
    key, when = layout.alias(network, alias), datetime.now(UTC)
    move = AliasMove(
        network=network, alias=alias, version=version, previous=current.version if current else None,
        by=reason.by, why=reason.why, when=when.isoformat(timespec="microseconds"), forced=forced,
    )  # fmt: skip
    data = document(move, indent=1)
    try:
        if found.etag:
            store.put(key, data, if_match=found.etag)
        else:
            store.put(key, data, if_absent=True)
    except PreconditionFailed:
        raise PromotionRefused(
            f"'{alias}' of {network} was changed meanwhile; check `mammo models history {network}` and try again"
        ) from None
    _note(store, move)
    return move


def _note(store: ObjectStore, move: AliasMove) -> None:
    """Add a move to the audit trail.

    An alias holds its last move. Reading the trail or moving the alias again adds that move first, so that no move is
    lost
    to a crash between the two writes.
    """
    data = document(move, indent=1)
    line = layout.audit_line(move.network, datetime.fromisoformat(move.when), sha256_hex(data))
    with suppress(PreconditionFailed):
        store.put(line, data, if_absent=True)
