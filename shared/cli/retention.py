"""The command `mammo gc`: list and remove what nothing in the store refers to any more."""

import re
from collections import defaultdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from shared.cli.console import console, listing, show_listing
from shared.errors import InputError, ObjectOfLaterRelease, ObjectUnreadable
from shared.retention.collection import Unreferenced, find_unreferenced, remove, store_time
from shared.settings import StoreSettings, read_settings
from shared.store.objects import open_store

_SECONDS = {"d": 86400, "h": 3600}
_LEAST_S = 86400


def gc(
    older_than: Annotated[
        str, typer.Option(help="Age that every object of a group has to have, such as 30d or 48h; at least 1d.")
    ] = "30d",
    delete: Annotated[bool, typer.Option("--delete", help="Delete what is listed; without it, nothing is.")] = False,
) -> None:
    """List what no run, model, batch or data set refers to; delete it with --delete."""
    age_s, store = _age_s(older_than), open_store(read_settings(StoreSettings))
    before = store_time(store) - age_s
    try:
        found = find_unreferenced(store, before)
        _show(found)
        if not found or not delete:
            return
        removal = remove(store, found, before)
    except (ObjectUnreadable, ObjectOfLaterRelease) as error:
        raise InputError(f"{error}. Until then it is not known what it refers to, and nothing is deleted") from error
    console.print(f"{removal.objects} objects with {_size(removal.size)} were deleted")
    for group in removal.kept:
        console.print(f"{group.place} came into use meanwhile and is kept", markup=False)
    for group in removal.forbidden:
        console.print(f"{group.place} is kept: the store permits no deletion there with these rights", markup=False)


def _show(found: list[Unreferenced]) -> None:
    if not found:
        console.print("There is nothing that nothing refers to, of this age.")
        return
    table = listing("what", "where", "objects", "size", "last written")
    kinds = defaultdict[str, list[Unreferenced]](list)
    for each in found:
        kinds[each.group.kind].append(each)
        when = datetime.fromtimestamp(each.modified, UTC).isoformat(timespec="seconds")
        table.add_row(each.group.kind, each.group.place, str(each.objects), _size(each.size), when)
    show_listing(table)
    for kind, groups in sorted(kinds.items()):
        console.print(f"{kind}: {sum(g.objects for g in groups)} objects, {_size(sum(g.size for g in groups))}")
    total = sum(each.size for each in found)
    console.print(f"in all {sum(each.objects for each in found)} objects, {_size(total)}")


def _age_s(text: str) -> float:
    parts = re.fullmatch(r"(\d+)([dh])", text)
    if parts is None:
        raise InputError(f"--older-than {text}: write a number of days or hours, such as 30d or 48h")
    seconds = int(parts[1]) * _SECONDS[parts[2]]
    if seconds < _LEAST_S:
        raise InputError(f"--older-than {text}: at least 1d, since younger objects may belong to work in progress")
    return seconds


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
