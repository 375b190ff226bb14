"""Check at start that the store supports conditional writes.

Writing once rests on `if_absent`, moving an alias or a claim once on `if_match`. Some servers ignore one of them,
answer
501, or reject it unconditionally.
"""

import uuid

from shared.errors import PreconditionFailed, StoreMisconfigured, StoreUnsupported
from shared.store import layout
from shared.store.interface import ObjectStore


def check_conditional_writes(store: ObjectStore) -> None:
    """Write, and write over, an object by both conditions.

    Raises:
        StoreMisconfigured: the server lacks one or both; the message says which and how it shows.
    """
    faults = {"If-None-Match": _fault_of_if_absent(store), "If-Match": _fault_of_if_match(store)}
    if lacking := [f"{fault} {header}" for header, fault in faults.items() if fault]:
        raise StoreMisconfigured(
            f"the server behind MAMMO_STORE {' and '.join(lacking)}, so runs and promotions could be corrupted; "
            "use one that honours conditional writes by both headers, such as AWS S3"
        )


def _fault_of_if_absent(store: ObjectStore) -> str | None:
    key = layout.self_test(uuid.uuid4().hex)
    try:
        store.put(key, b"first", if_absent=True)
        store.put(key, b"second", if_absent=True)
    except PreconditionFailed:
        return None if store.exists(key) else "refuses every write by"
    except StoreUnsupported:
        return "does not implement"
    finally:
        store.delete(key)
    return "ignores"


def _fault_of_if_match(store: ObjectStore) -> str | None:
    key = layout.self_test(uuid.uuid4().hex)
    try:
        store.put(key, b"first")
        before = store.read(key).etag
        store.put(key, b"second", if_match=before)
        store.put(key, b"third", if_match=before)
    except PreconditionFailed:
        return None if store.get(key) == b"second" else "refuses every write by"
    except StoreUnsupported:
        return "does not implement"
    finally:
        store.delete(key)
    return "ignores"
