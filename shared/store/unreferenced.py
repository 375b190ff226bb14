"""Remove objects of a publication that no manifest or card names.

They are left when a publication is interrupted or loses against another one.
"""

import logging
import math
import re
from collections.abc import Iterable

from shared.errors import StoreMisconfigured
from shared.store.interface import ObjectStore

_log = logging.getLogger("mammostack.store")


def remove_unreferenced(
    store: ObjectStore, below: str, named: Iterable[str], ours: re.Pattern[str], before: float = math.inf
) -> None:
    """Remove objects below a prefix that match `ours` and are not named.

    A process that is still writing them loses nothing: the published version already rejects its own. If the store
    permits no deletion they stay, unreferenced.

    Args:
        named: keys, and prefixes that end with a slash.
        ours: pattern of the rest of the key after `below`; other objects are kept.
        before: time by the store's clock; what was written later is kept.
    """
    known = set(named)
    prefixes = tuple(name for name in known if name.endswith("/"))
    for entry in list(store.entries(below)):
        key = entry.key
        if entry.modified >= before or key in known or key.startswith(prefixes):
            continue
        if ours.fullmatch(key.removeprefix(below)):
            try:
                store.delete(key)
            except StoreMisconfigured as error:
                _log.warning("what no manifest names stays in the store", extra={"reason": str(error)})
                return
