"""Films of INbreast: the patient is a token of the file name, lesions are property lists of OsiriX."""

import plistlib
import re
from collections.abc import Iterable, Iterator
from functools import partial
from xml.parsers.expat import ExpatError

from shared.datasets.files import SourceFile, SourceFiles
from shared.datasets.matching import Match
from shared.datasets.rows import Draw, Drawing, nothing_drawn
from shared.domain.lesions import Lesion, Point
from shared.domain.records import Label

_POINT = re.compile(r"\(?\s*([-\d.eE+]+)\s*,\s*([-\d.eE+]+)\s*\)?")
_ID = "File Name"


def read(matches: Iterable[Match], files: SourceFiles) -> Iterator[tuple[Match, Draw]]:
    """Yield every match with what `AllXML/<file id>.xml` draws on its film."""
    drawn = {file.stem: file for file in files.list() if "allxml/" in f"/{file.name.lower()}"}
    for match in matches:
        file = drawn.get(match.rows[0].cells.get(_ID, "")) if match.rows else None
        yield match, partial(_draw, files, file) if file else nothing_drawn


def _draw(files: SourceFiles, file: SourceFile, _width: int, _height: int) -> Drawing:
    try:
        rois = plistlib.loads(files.read(file), fmt=plistlib.FMT_XML)["Images"][0]["ROIs"]
        lesions = tuple(lesion for roi in rois if (lesion := _lesion(roi)))
    except (plistlib.InvalidFileException, ExpatError, KeyError, IndexError, TypeError, ValueError):
        return Drawing((), (f"{file.name} is not a property list with ROIs",))
    return Drawing(lesions)


def _lesion(roi: dict[str, object]) -> Lesion | None:
    """Return the lesion of a region of interest; fewer than three points are one place."""
    texts = roi.get("Point_px")
    points: list[Point] = []
    for text in texts if isinstance(texts, list) else []:
        if found := _POINT.fullmatch(str(text).strip()):
            points.append((float(found[1]), float(found[2])))
    if not points:
        return None
    kind = str(roi.get("Name") or "finding")
    # as malignant as its film: the property list doesn't say
    return Lesion(kind=kind, label=Label.MALIGNANT, outline=tuple(points) if len(points) > 2 else (points[0],))
