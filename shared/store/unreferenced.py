"""Remove objects of a publication that no manifest or card names.

They are left when a publication is interrupted or loses against another one.
"""

import logging
import re

from shared.errors import StoreMisconfigured
from shared.store.interface import ObjectStore

_log = logging.getLogger("mammostack.store")


def remove_unreferenced(store: ObjectStore, below: str, named: tuple[str, ...], ours: re.Pattern[str]) -> None:
    """Remove objects below a prefix that match `ours` and are not named.

    A process that is still writing them loses nothing: the published version already rejects its own. If the store
    permits
    no deletion they stay, unreferenced.

    Args:
        named: keys, and prefixes that end with a slash.
        ours: pattern of the rest of the key after `below`; other objects are kept.
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
