"""Mappings: how a table's columns become film records, as data in TOML.

The package brings those of public data sets (`shared/datasets/mappings`); a hospital writes its own in ten lines.
"""

import tomllib
from collections.abc import Mapping as Cells
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from shared.domain.films import Acquisition
from shared.domain.records import Label, Record
from shared.domain.terms import Terms
from shared.errors import DatasetError, InputError

_SHIPPED = Path(__file__).parent / "mappings"

HeaderFact: TypeAlias = Literal["patient", "accession", "study", "series", "sop", "side"]
Winner: TypeAlias = Literal["table", "header"]


def plain(cell: object) -> str:
    """Return a cell as text; whole numbers that a spreadsheet wrote as 1.0 become 1."""
    text = str(cell).strip()
    whole = text.removesuffix(".0")
    return whole if whole.lstrip("-").isdigit() else text


Text: TypeAlias = Annotated[str, BeforeValidator(plain)]
Values: TypeAlias = Annotated[
    tuple[Text, ...], BeforeValidator(lambda value: value if isinstance(value, list | tuple) else (value,))
]


class Files(Record):
    """Where a row's image is: at a path made of its cells, or in every file whose facts equal its cells.

    A path may hold wildcards. The groups of `pattern`, a regular expression on the path from the top of the data set,
    are columns `path.NAME`; those that `equals` names must equal a column of the row, as must the facts in `header`.
    """

    path: str | None = Field(None, description="such as 'images/{patient_id}/{image_id}.dcm'")
    pattern: str = Field(r".*", description="on the paths of all images")
    equals: dict[str, str] = Field({}, description="group of the pattern -> column")
    header: dict[HeaderFact, str] = Field({}, description="fact of a DICOM header -> column")

    @model_validator(mode="after")
    def _one_way(self) -> "Files":
        if (self.path is None) == (not self.equals and not self.header):
            raise ValueError("give either 'path', or 'equals' and 'header'")
        return self


class Columns(Record):
    """The column of each field of a film; `path.NAME` and `header.FACT` are columns as well.

    A text such as '{patient}-{year}' is made of several. Without `film` the id is the file's SOP Instance UID or name;
    without `side` and `view` the header says them.
    """

    patient: str
    film: str | None = None
    exam: str | None = None
    side: str | None = None
    view: str | None = None
    density: str | None = None
    group: str | None = None
    vendor: str | None = None
    split: str | None = None


class Rule(Record):
    """A label, given where every named column has one of its values."""

    label: Label
    where: dict[str, Values] = Field({}, description="column -> values; {}: every row")

    def holds(self, cells: Cells[str, str]) -> bool:
        """Tell whether a row meets the rule."""
        return all(cells.get(column, "") in values for column, values in self.where.items())

    def __str__(self) -> str:
        chosen = {column: " or ".join(value or "empty" for value in values) for column, values in self.where.items()}
        said = " and ".join(f"{column} = {values}" for column, values in chosen.items())
        return f"{self.label}: {said or 'otherwise'}"


class Boxes(Record):
    """A table of lesions' boxes, in pixels of the image as stored."""

    table: str = Field(description="file, with wildcards")
    key: str = Field(description="column that equals the row's column `film`")
    left: str
    top: str
    right: str
    bottom: str
    kind: str | None = None


class Mapping(Record):
    """How a data set is read: its tables, files, columns, labels and terms."""

    name: str
    terms: Terms
    tables: tuple[str, ...] = Field(("*.csv",), description="files, with wildcards; --table replaces them")
    reader: Literal["table", "cbis-ddsm", "inbreast", "embed"] = "table"
    files: Files
    columns: Columns
    values: dict[str, dict[str, str]] = Field({}, description="field -> value of the table -> value of the record")
    keep: dict[str, Values] = Field({}, description="column -> values; rows with others are left out")
    labels: tuple[Rule, ...] = Field(description="the first rule that holds gives the label")
    labels_of: Literal["film", "breast", "patient"] = Field("film", description="what a label is of")
    boxes: Boxes | None = None
    acquisition: Acquisition | None = Field(None, description="of all films, where no header says it")
    vendor: str | None = None
    wins: Winner = Field("table", description="where table and header disagree on side or view")
    burned_in: bool = Field(False, description="films are taken that say that annotations are burned in")
    pseudonyms: bool = Field(True, description="ids are replaced by keyed hashes; False: they are pseudonyms already")

    @property
    def labelling(self) -> str:
        """The rules in words, for the card."""
        return f"{'; '.join(map(str, self.labels))}. By {self.labels_of}, mapping {self.name}."

    def label_of(self, cells: Cells[str, str]) -> Label | None:
        """Return the label of a row; None if no rule holds."""
        return next((rule.label for rule in self.labels if rule.holds(cells)), None)

    def keeps(self, cells: Cells[str, str]) -> bool:
        """Tell whether a row is of the films to take."""
        return all(cells.get(column, "") in values for column, values in self.keep.items())


def shipped_mappings() -> list[str]:
    """Return the names of the mappings of public data sets."""
    return sorted(file.stem for file in _SHIPPED.glob("*.toml"))


def read_mapping(name: str) -> Mapping:
    """Read a shipped mapping by its name, or a TOML file.

    Raises:
        InputError: there is no such mapping or file.
        DatasetError: the file is not a valid mapping.
    """
    if name in shipped_mappings():
        return parse_mapping((_SHIPPED / f"{name}.toml").read_text(encoding="utf-8"), name)
    try:
        return parse_mapping(Path(name).read_text(encoding="utf-8"), name)
    except (OSError, UnicodeDecodeError):
        raise InputError(
            f"there is no mapping '{name}'; name a TOML file, or one of {', '.join(shipped_mappings())}"
        ) from None


def parse_mapping(text: str, where: str) -> Mapping:
    """Read a mapping from TOML.

    Raises:
        DatasetError: it is not valid; names the first wrong field.
    """
    try:
        return Mapping.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise DatasetError(where, f"is not TOML ({error}); see docs/how-to/add-a-dataset.md") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the mapping"
        raise DatasetError(where, f"{field}: {first['msg']}; see docs/how-to/add-a-dataset.md") from None
