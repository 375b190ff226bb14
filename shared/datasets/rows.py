"""Rows of tables: CSV with commas, semicolons or tabs, in UTF-8 with or without a byte order mark."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import NamedTuple, TypeAlias

from shared.datasets.files import SourceFile, SourceFiles
from shared.datasets.mapping import plain
from shared.domain.lesions import Lesion
from shared.errors import DatasetError

csv.field_size_limit(2**20)


class Drawing(NamedTuple):
    """Lesions that were drawn on a film, and sentences about what could not be used of them."""

    lesions: tuple[Lesion, ...] = ()
    notes: tuple[str, ...] = ()


Draw: TypeAlias = Callable[[int, int], Drawing]
"""Returns what is drawn on a film of a width and a height."""


def nothing_drawn(_width: int, _height: int) -> Drawing:
    """Return no lesion."""
    return Drawing()


@dataclass(frozen=True)
class Row:
    """A row of a table: its place, such as 'train.csv:2', and its cells by column."""

    where: str
    cells: Mapping[str, str] = field(compare=False)


def find_tables(files: SourceFiles, names: tuple[str, ...]) -> list[SourceFile]:
    """Return the files of any folder that match names with wildcards, by name.

    Raises:
        DatasetError: none matches.
    """
    found = [file for file in files.list() if any(fnmatch(f"/{file.name}", f"*/{name}") for name in names)]
    if not found:
        raise DatasetError(str(files.path), f"holds no table {' or '.join(names)}; name it with --table")
    return sorted(found)


def read_rows(name: str, data: bytes) -> Iterator[Row]:
    """Yield the rows of a table; cells lose spaces and line ends around them.

    Raises:
        DatasetError: it is not a table.
    """
    try:
        text = data.decode("utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = max(",;\t", key=first.count)
        lines = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restkey="", strict=True)
        for cells in lines:
            yield Row(f"{name}:{lines.line_num}", {plain(key): plain(cells[key] or "") for key in cells if key})
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(name, f"can't be read as a table ({error}); save it as CSV in UTF-8") from None


def check_columns(rows: list[Row], where: str, wanted: set[str]) -> None:
    """Check that a table has the columns that a mapping names.

    Raises:
        DatasetError: it lacks some.
    """
    having = set(rows[0].cells) if rows else set()
    needed = {name for name in wanted if not name.startswith(("path.", "header."))}
    if lacking := sorted(needed - having):
        known = ", ".join(sorted(having)) or "no row"
        raise DatasetError(where, f"has no column {', '.join(lacking)}; it has {known}; correct the mapping")
