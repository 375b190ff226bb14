"""Rows of CBIS-DDSM (TCIA): one a lesion, in four tables, with paths that no download has.

Images are found by the series UID in those paths. A film's mask and its cropped image stand under each other's column
in places, so the mask is told by its description or its size. Published descriptions of mass and calcification tables
were divided into training and test apart, so a patient may be in both.
"""

from collections import defaultdict
from collections.abc import Iterator
from functools import partial

import numpy as np

from shared.datasets.files import SourceFile, SourceFiles
from shared.datasets.matching import Headers, Match, images_of
from shared.datasets.outlines import outline_of
from shared.datasets.rows import Draw, Drawing, Row, check_columns, nothing_drawn
from shared.domain.lesions import Lesion
from shared.domain.records import Label
from shared.errors import ImageError
from shared.imaging.formats.decode import decode, read_header

_IMAGE, _CROP, _MASK = "image file path", "cropped image file path", "ROI mask file path"
_COLUMNS = {"patient_id", "left or right breast", "image view", "abnormality type", "pathology", _IMAGE, _CROP, _MASK}
_SAME_SHAPE = 0.02  # by which a mask's aspect may differ from its film's


def read(rows: list[Row], files: SourceFiles, headers: Headers) -> Iterator[tuple[Match, Draw]]:
    """Yield every film with all its rows, and what is drawn on it."""
    check_columns(rows, "the case descriptions", _COLUMNS)
    of_series: dict[str, list[SourceFile]] = defaultdict(list)
    images = images_of(files)
    for image in images:
        of_series[headers.of(image)["series"]].append(image)
    films: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        films["_".join(row.cells[name] for name in ("patient_id", "left or right breast", "image view"))].append(row)
    used: set[SourceFile] = set()
    for film, of_film in films.items():
        known = {"film": film, "split": "test" if any("test" in row.where for row in of_film) else "training"}
        densities = [row.cells.get(name, "") for row in of_film for name in ("breast density", "breast_density")]
        known["density"] = next((density for density in densities if density), "")
        whole = [image for row in of_film for image in of_series.get(_series(row.cells[_IMAGE]), [])]
        parts = {row.where: _parts(row, of_series) for row in of_film}
        used.update(whole, *parts.values())
        match = Match(tuple(Row(row.where, {**row.cells, **known}) for row in of_film), whole[0] if whole else None)
        yield match, partial(_draw, of_film, parts, files, headers)
    for image in images:
        if image not in used:
            yield Match((), image), nothing_drawn


def _series(path: str) -> str:
    """Return the series UID in a path such as 'Mass-Training_P_00001_LEFT_CC/STUDY/SERIES/000000.dcm'."""
    return path.split("/")[-2] if path.count("/") > 1 else ""


def _parts(row: Row, of_series: dict[str, list[SourceFile]]) -> list[SourceFile]:
    series = dict.fromkeys(_series(row.cells[column]) for column in (_MASK, _CROP))
    return [image for each in series if each for image in of_series.get(each, [])]


def _draw(
    rows: list[Row], parts: dict[str, list[SourceFile]], files: SourceFiles, headers: Headers, width: int, height: int
) -> Drawing:
    lesions, notes = [], []
    for row in rows:
        label = Label.MALIGNANT if row.cells["pathology"] == "MALIGNANT" else Label.BENIGN
        outline, note = _outline(parts[row.where], files, headers, (width, height))
        lesions.append(Lesion(kind=row.cells["abnormality type"], label=label, outline=outline or None))
        if note:
            notes.append(f"{row.where}: {note}")
    return Drawing(tuple(lesions), tuple(notes))


def _size(data: bytes) -> tuple[int, int]:
    return read_header(data).full_size


def _outline(
    parts: list[SourceFile], files: SourceFiles, headers: Headers, size: tuple[int, int]
) -> tuple[tuple[tuple[float, float], ...], str]:
    """Return a lesion's outline on a film of a size (width, height), and what is wrong with its mask."""
    width, height = size
    named = [part for part in parts if "mask" in headers.of(part)["description"].lower()]
    try:
        shapes = {part: _size(files.read(part)) for part in named or parts}
        if not shapes:
            return (), "its mask is not there"
        # of mask and crop the mask has the size of the film, or is the larger one
        mask, shape = min(shapes.items(), key=lambda each: (each[1] != size, -each[1][0] * each[1][1]))
        if abs(shape[0] / shape[1] / (width / height) - 1) > _SAME_SHAPE:
            return (), "its mask has another shape than the film"
        pixels = decode(files.read(mask)).pixels
    except ImageError as error:
        return (), f"its mask can't be read: {error}"
    outline = outline_of(np.asarray(pixels > pixels.max() // 2), width, height)
    return outline, "" if outline else "its mask is empty"
