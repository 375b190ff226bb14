"""A data set as a folder or archive with tables, read by a mapping."""

import re
from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Mapping as Cells
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from shared.datasets.entries import FilmEntry
from shared.datasets.files import SourceFile, SourceFiles, open_files
from shared.datasets.mapping import Boxes, Mapping
from shared.datasets.matching import SIDES, Headers, Match, images_of, match_rows
from shared.datasets.problems import SourceProblem
from shared.datasets.pseudonyms import Pseudonyms
from shared.datasets.readers import cbis_ddsm, embed, inbreast
from shared.datasets.rows import Draw, Drawing, Row, check_columns, find_tables, nothing_drawn, read_rows
from shared.digests import sha256_hex
from shared.domain.lesions import Lesion
from shared.domain.records import CLASSES, Label
from shared.domain.terms import Terms
from shared.imaging.formats.decode import decode, encode_pgm, encode_png, is_dicom
from shared.imaging.formats.dicom_deidentify import deidentify

VIEWS = ("CC", "MLO", "ML", "LM", "LMO", "XCC", "XCCL", "XCCM", "FB", "SIO", "ISO", "AT")
_DENSITIES = {name: name for name in "FGD"}
_COLUMN = re.compile(r"\{([^}]+)\}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_SHOWN = 20  # characters of a value in a message
_SPLITS = {"training": "training", "test": "test"}


class MappedSource:
    """Films of a folder or archive, described by tables. What is wrong is collected in `problems`."""

    synthetic = False

    def __init__(
        self, path: Path, mapping: Mapping, tables: tuple[Path, ...] = (), pseudonyms: Pseudonyms | None = None
    ) -> None:
        """Read the tables.

        Args:
            tables: in place of those that the mapping names.
            pseudonyms: needed if the mapping hides ids; None leaves them as they are, for a survey.

        Raises:
            DatasetError: there is no table, or it lacks a column that the mapping names.
        """
        self.files: SourceFiles = open_files(path)
        self.mapping = mapping
        self.terms: Terms | None = mapping.terms
        self.labelling: str | None = mapping.labelling
        self.header_wins: bool = mapping.wins == "header"
        self.problems: list[SourceProblem] = []
        self.left_out = 0
        self._headers = Headers(self.files)
        self._hide = pseudonyms if pseudonyms and mapping.pseudonyms else lambda _, name: name
        self._uid = (pseudonyms or Pseudonyms(b"public data set")).uid
        given = [(table.name, table.read_bytes()) for table in tables]
        self._tables = given or [(file.name, self.files.read(file)) for file in find_tables(self.files, mapping.tables)]
        texts = [mapping.model_dump_json().encode(), *(data for _, data in self._tables)]
        self.revision = sha256_hex(b"".join(texts))
        self._rows = [row for name, data in self._tables for row in read_rows(name, data)]
        if mapping.reader == "table":
            check_columns(self._rows, ", ".join(name for name, _ in self._tables), _columns(mapping))

    def stored(self, entry: FilmEntry, data: bytes) -> bytes:
        """Return a film without anything of its patient: DICOM written anew, other formats without their texts."""
        if is_dicom(data):
            return deidentify(data, entry.patient, self._uid, burned_in=self.mapping.burned_in)
        image = decode(data)
        return encode_pgm(image.pixels, image.bits) if image.format == "PGM" else encode_png(image.pixels)

    def entries(self) -> Iterator[FilmEntry]:
        """Yield every film that can be used; the rest is in `problems` when the last one was yielded."""
        self.problems, self.left_out = [], 0
        seen: dict[str, str] = {}
        for match, draw in self._matches():
            if match.file is None:
                self._note("row without image", match.rows[0].where, "its image is not there")
            elif not match.rows:
                self._note("image without row", match.file.name, "no row is of this image")
            elif (entry := self._entry(match, match.file, draw)) is not None:
                if entry.id in seen:
                    self._note("film twice", entry.where, f"the film has another row, {seen[entry.id]}")
                    continue
                seen[entry.id] = entry.where
                yield entry

    def _matches(self) -> Iterator[tuple[Match, Draw]]:
        match self.mapping.reader:
            case "cbis-ddsm":
                yield from cbis_ddsm.read(self._rows, self.files, self._headers)
            case "inbreast":
                yield from inbreast.read(self._matched(), self.files)
            case "embed":
                yield from embed.read(self._tables, images_of(self.files))
            case "table":
                boxes = self.mapping.boxes
                of_film = self._boxes(boxes) if boxes else {}
                for found in self._matched():
                    film = _cell(found.rows[0].cells, self.mapping.columns.film) if found.rows else ""
                    rows = of_film.get(film, [])
                    yield found, partial(_draw_boxes, rows, boxes) if boxes and rows else nothing_drawn

    def _matched(self) -> Iterator[Match]:
        return match_rows(self._rows, images_of(self.files), self._headers, self.mapping.files)

    def _boxes(self, boxes: Boxes) -> dict[str, list[Row]]:
        of_film: dict[str, list[Row]] = defaultdict(list)
        for file in find_tables(self.files, (boxes.table,)):
            rows = list(read_rows(file.name, self.files.read(file)))
            check_columns(rows, file.name, {boxes.key, boxes.left, boxes.top, boxes.right, boxes.bottom})
            for row in rows:
                of_film[row.cells[boxes.key]].append(row)
        return of_film

    def _entry(self, match: Match, file: SourceFile, draw: Draw) -> FilmEntry | None:
        where, cells = match.rows[0].where, {**match.rows[0].cells, **match.added}
        if not self.mapping.keeps(cells):
            self.left_out += 1
            return None
        labels = [label for row in match.rows if (label := self.mapping.label_of({**row.cells, **match.added}))]
        if not labels:
            self._note("no label", where, "no rule of the mapping holds")
            return None
        known = self._fields(where, cells)
        patient = _cell(cells, self.mapping.columns.patient)
        if not patient:
            self._note("unknown value", where, f"column '{self.mapping.columns.patient}' is empty")
        if known is None or not patient:
            return None
        film = _cell(cells, self.mapping.columns.film) or cells.get("header.sop") or PurePosixPath(file.name).stem
        if not _NAME.fullmatch(film_id := self._hide("film", film)):
            self._note("unknown value", where, "the film's id is not made of letters, digits, '.', '_' and '-'")
            return None
        label = max(labels, key=CLASSES.index)
        exam = _cell(cells, self.mapping.columns.exam)
        return FilmEntry(
            **known,
            id=film_id,
            patient=self._hide("patient", patient),
            exam=self._hide("exam", exam) if exam else None,
            label=label,
            file=file,
            where=where,
            lesions=partial(self._lesions, draw, where, label),
        )

    def _fields(self, where: str, cells: Cells[str, str]) -> dict[str, Any] | None:
        """Return the fields of a film that have a fixed set of values, or None where one has another."""
        columns, views = self.mapping.columns, {view: view for view in VIEWS}
        choices: dict[str, tuple[str | None, Cells[str, str]]] = {
            "side": (columns.side, SIDES),
            "view": (columns.view, views),
            "density": (columns.density, _DENSITIES),
            "official_split": (columns.split, _SPLITS),
        }
        found: dict[str, Any] = {
            "group": _cell(cells, columns.group) or None,
            "vendor": _cell(cells, columns.vendor) or self.mapping.vendor,
            "acquisition": self.mapping.acquisition,
        }
        for field, (column, usual) in choices.items():
            value = _cell(cells, column)
            own = self.mapping.values.get("split" if field == "official_split" else field, {})
            known = own.get(value) or usual.get(value) or usual.get(value.upper()) or usual.get(value.lower())
            if value and known is None and value not in own:
                self._note("unknown value", where, f"column '{column}' is '{value[:_SHOWN]}', no known {field}")
                return None
            found[field] = known or None
        return found

    def _lesions(self, draw: Draw, where: str, label: Label, width: int, height: int) -> tuple[Lesion, ...]:
        """Return the lesions of a film, none of which is worse than its label; a normal film has none."""
        drawing = draw(width, height)
        for note in drawing.notes:
            self._note("lesion that can't be used", where, note)
        if drawing.lesions and label is Label.NORMAL:
            self._note("lesion that can't be used", where, "a lesion is drawn on a film that is normal")
            return ()
        return tuple(
            lesion.model_copy(update={"label": min(lesion.label, label, key=CLASSES.index)})
            for lesion in drawing.lesions
        )

    def _note(self, kind: Any, where: str, what: str) -> None:
        self.problems.append(SourceProblem(kind, where, what))


def _cell(cells: Cells[str, str], column: str | None) -> str:
    """Return the cell of a column, or a text made of several, such as '{patient}-{year}'."""
    if column is None or "{" not in column:
        return cells.get(column or "", "")
    return _COLUMN.sub(lambda found: cells.get(found[1], ""), column)


def _columns(mapping: Mapping) -> set[str]:
    named = [value for value in mapping.columns.model_dump().values() if value]
    columns = {column for value in named for column in (_COLUMN.findall(value) if "{" in value else [value])}
    columns |= set(_COLUMN.findall(mapping.files.path or ""))
    columns |= {column for rule in mapping.labels for column in rule.where}
    return columns | set(mapping.keep) | set(mapping.files.equals.values()) | set(mapping.files.header.values())


def _draw_boxes(rows: list[Row], boxes: Boxes, _width: int, _height: int) -> Drawing:
    lesions, notes = [], []
    for row in rows:
        edges = [row.cells.get(column, "") for column in (boxes.left, boxes.top, boxes.right, boxes.bottom)]
        if not any(edges):
            continue  # a row that says that there is none
        try:
            left, top, right, bottom = map(float, edges)
        except ValueError:
            notes.append(f"{row.where}: the box is not four numbers")
            continue
        kind = row.cells.get(boxes.kind or "", "") or "finding"
        lesions.append(Lesion.of_box(kind, Label.MALIGNANT, (left, top, right, bottom)))
    return Drawing(tuple(lesions), tuple(notes))
