"""Which image belongs to which row of a table."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from fnmatch import translate
from functools import partial
from pathlib import PurePosixPath
from typing import NamedTuple

from shared.datasets.files import SourceFile, SourceFiles
from shared.datasets.mapping import Files, plain
from shared.datasets.rows import Row
from shared.domain.films import Side
from shared.imaging.formats.dicom_identity import read_identity

_IMAGE = re.compile(r".*\.(dcm|dicom|pgm|png|jpe?g|tiff?)|(.*/)?[\d.]+", re.IGNORECASE)
"""Names of image files; DICOM archives also leave out the ending."""

SIDES: dict[str, Side] = {"l": "left", "left": "left", "r": "right", "right": "right"}


_HEADER = 2**18
"""Bytes in which a header usually ends; otherwise the whole file is read."""


class Headers:
    """What ties the files of a data set to rows, read once from each header."""

    def __init__(self, files: SourceFiles) -> None:
        self._files = files
        self._known: dict[SourceFile, dict[str, str]] = {}

    def of(self, file: SourceFile) -> dict[str, str]:
        """Return the identity of a DICOM file; empty texts for other files."""
        if file not in self._known:
            found = read_identity(self._files.read(file, _HEADER))
            if not any(found.values()) and file.size > _HEADER:
                found = read_identity(self._files.read(file))
            self._known[file] = found
        return self._known[file]


class Match(NamedTuple):
    """An image with its rows, of which most tables have one, and the cells that path and header add.

    Rows or image may be missing.
    """

    rows: tuple[Row, ...]
    file: SourceFile | None
    added: Mapping[str, str] = {}


def images_of(files: SourceFiles) -> list[SourceFile]:
    """Return the files that are images by their names."""
    return [file for file in files.list() if _IMAGE.fullmatch(file.name)]


def match_rows(rows: list[Row], images: list[SourceFile], headers: Headers, where: Files) -> Iterator[Match]:
    """Yield every row with each of its images, rows without an image, and images without a row."""
    yield from _by_path(rows, images, where.path) if where.path else _by_facts(rows, images, headers, where)


def _by_path(rows: list[Row], images: list[SourceFile], path: str) -> Iterator[Match]:
    of_name: dict[str, list[SourceFile]] = defaultdict(list)
    for image in images:
        of_name[PurePosixPath(image.name).name].append(image)
    used: set[str] = set()
    for row in rows:
        wanted = re.sub(r"\{([^}]+)\}", partial(_cell, row), path)
        last = wanted.rpartition("/")[2]
        candidates = images if any(sign in last for sign in "*?[") else of_name.get(last, [])
        # The data set may lie in a folder of its own, but a path begins at a folder: '2/CC.dcm' is not in '12/'.
        fits = re.compile(rf"(?s:.*/)?{translate(wanted.lstrip('/'))}")
        found = [image for image in candidates if fits.match(image.name)]
        used.update(image.name for image in found)
        yield from (Match((row,), image) for image in found)
        if not found:
            yield Match((row,), None)
    yield from (Match((), image) for image in images if image.name not in used)


def _cell(row: Row, column: "re.Match[str]") -> str:
    return re.sub(r"([*?[])", r"[\1]", row.cells.get(column[1], ""))


def _by_facts(rows: list[Row], images: list[SourceFile], headers: Headers, where: Files) -> Iterator[Match]:
    columns = [*where.equals.values(), *where.header.values()]
    of_key: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        of_key[tuple(_key(row.cells.get(column, "")) for column in columns)].append(row)
    pattern = re.compile(where.pattern)
    used: set[str] = set()
    for image in images:
        if not (path := pattern.fullmatch(image.name)):
            yield Match((), image)
            continue
        groups = {name: plain(value or "") for name, value in path.groupdict().items()}
        header = headers.of(image)
        added = {f"path.{name}": value for name, value in groups.items()}
        added |= {f"header.{name}": value for name, value in header.items()}
        key = (*(_key(groups[name]) for name in where.equals), *(_key(plain(header[name])) for name in where.header))
        found = of_key.get(key, []) if any(key) else []
        used.update(row.where for row in found)
        yield Match(tuple(found), image, added)
    yield from (Match((row,), None) for row in rows if row.where not in used)


def _key(value: str) -> str:
    """Sides are written in several ways."""
    return SIDES.get(value.lower(), value)
