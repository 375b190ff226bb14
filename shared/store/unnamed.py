"""Removes what was written for a publication that no manifest or card names: it came too late, or was broken off."""

import logging
import re

from shared.errors import StoreMisconfigured
from shared.store.interface import ObjectStore

_log = logging.getLogger("mammostack.store")


def remove_unnamed(store: ObjectStore, below: str, named: tuple[str, ...], ours: re.Pattern[str]) -> None:
    """Remove the objects below a prefix that are of the form of ours and are not named.

    Whoever is still writing them loses nothing: what is published already refuses theirs. Where the store permits no
    deletion they stay; nothing leads to them.

    Args:
        named: keys, and prefixes that end with a slash.
        ours: of what follows `below`; other objects are somebody else's.
    """
    for key in list(store.list(below)):
        if ours.fullmatch(key.removeprefix(below)) and not _is_named(key, named):
            try:
                store.delete(key)
            except StoreMisconfigured as error:
                _log.warning("what no manifest names stays in the store", extra={"reason": str(error)})
                return


def _is_named(key: str, named: tuple[str, ...]) -> bool:
    return any(key.startswith(name) if name.endswith("/") else key == name for name in named)
