"""Rows of EMBED: a table with a row a file, joined with one that has a row a finding.

A finding belongs to the films of its exam on its own side, or on both where it names none. A breast without a finding
has no row; it is negative.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath

from shared.datasets.files import SourceFile
from shared.datasets.matching import Match
from shared.datasets.rows import Draw, Drawing, Row, check_columns, nothing_drawn, read_rows
from shared.domain.lesions import Lesion
from shared.domain.records import Label
from shared.errors import DatasetError

_OF_FILES = {"empi_anon", "acc_anon", "anon_dicom_path", "FinalImageType", "ImageLateralityFinal", "ViewPosition"}
_OF_FINDINGS = {"acc_anon", "side", "asses", "path_severity"}
_NEGATIVE = {"asses": "N", "path_severity": ""}
_BOTH = {"", "b", "nan"}
_PARTS = 3  # of a path, that name a file: patient, exam, instance


def read(tables: list[tuple[str, bytes]], images: list[SourceFile]) -> Iterator[tuple[Match, Draw]]:
    """Yield every row of a file with the findings of its breast, and what is drawn on it."""
    of_files, findings = _tables(tables)
    of_side: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for finding in findings:
        side = finding.cells["side"].lower()
        for each in ("l", "r") if side in _BOTH else (side,):
            of_side[finding.cells["acc_anon"], each].append(finding)
    of_path = {_end(image.name): image for image in images}
    used: set[SourceFile] = set()
    for row in of_files:
        side = row.cells["ImageLateralityFinal"].lower()
        of_breast = of_side.get((row.cells["acc_anon"], side), [])
        cells: list[dict[str, str]] = [dict(finding.cells) for finding in of_breast] or [_NEGATIVE]
        image = of_path.get(_end(row.cells["anon_dicom_path"]))
        if image:
            used.add(image)
        named = {**row.cells, "film": PurePosixPath(row.cells["anon_dicom_path"]).stem}
        match = Match(tuple(Row(row.where, {**finding, **named}) for finding in cells), image)
        boxes = row.cells.get("ROI_coords", "")
        yield match, partial(_draw, row.where, boxes) if boxes else nothing_drawn
    for image in images:
        if image not in used:
            yield Match((), image), nothing_drawn


def _tables(tables: list[tuple[str, bytes]]) -> tuple[list[Row], list[Row]]:
    read_all = {name: list(read_rows(name, data)) for name, data in tables}
    of_files = [rows for rows in read_all.values() if rows and "anon_dicom_path" in rows[0].cells]
    findings = [rows for rows in read_all.values() if rows and "asses" in rows[0].cells]
    if len(of_files) != 1 or len(findings) != 1:
        raise DatasetError(", ".join(read_all), "are not EMBED's metadata and clinical tables; name both with --table")
    check_columns(of_files[0], "the metadata table", _OF_FILES)
    check_columns(findings[0], "the clinical table", _OF_FINDINGS)
    return of_files[0], findings[0]


def _end(path: str) -> tuple[str, ...]:
    return PurePosixPath(path).parts[-_PARTS:]


def _draw(where: str, coordinates: str, _width: int, _height: int) -> Drawing:
    """Draw boxes such as '[[ymin, xmin, ymax, xmax]]', of which some are on the wrong side of the film."""
    try:
        boxes = [tuple(map(float, box)) for box in ast.literal_eval(coordinates)]
        if not all(len(box) == 4 for box in boxes):
            raise ValueError
    except (ValueError, TypeError, SyntaxError):
        return Drawing((), (f"{where}: ROI_coords is not a list of boxes",))
    placed = [Lesion.of_box("ROI", Label.MALIGNANT, (left, top, right, bottom)) for top, left, bottom, right in boxes]
    return Drawing(tuple(placed))
