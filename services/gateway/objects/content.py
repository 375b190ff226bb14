"""Content items of structured reports (PS3.3 C.17.3), as data sets of pydicom."""

from collections.abc import Iterable, Sequence

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from services.gateway.objects.modules import reference

PERCENT = Code("%", "UCUM", "Percent")
MICROMETRES = Code("um", "UCUM", "micrometer")


def dcm(value: str, meaning: str) -> Code:
    """Return a code of DICOM's own vocabulary (PS3.16 annex D)."""
    return Code(value, "DCM", meaning)


def coded(code: Code) -> list[Dataset]:
    """Return a sequence with one code."""
    found = Dataset()
    found.CodeValue, found.CodingSchemeDesignator = code.value, code.scheme_designator
    found.CodeMeaning = code.meaning
    return [found]


def item(relation: str, value_type: str, name: Code | None, *children: Dataset, **values: object) -> Dataset:
    """Return a content item with its children.

    Args:
        values: attributes of the item by keyword.
    """
    found = Dataset()
    if relation:
        found.RelationshipType = relation
    found.ValueType = value_type
    if name is not None:
        found.ConceptNameCodeSequence = coded(name)
    for keyword, value in values.items():
        setattr(found, keyword, value)
    return add(found, children)


def add(parent: Dataset, children: Iterable[Dataset]) -> Dataset:
    """Append children to an item and return it."""
    if children := list(children):
        parent.ContentSequence = [*parent.get("ContentSequence", []), *children]
    return parent


def container(relation: str, name: Code, *children: Dataset) -> Dataset:
    """Return a CONTAINER."""
    return item(relation, "CONTAINER", name, *children, ContinuityOfContent="SEPARATE")


def code(relation: str, name: Code, value: Code, *children: Dataset) -> Dataset:
    """Return a CODE."""
    return item(relation, "CODE", name, *children, ConceptCodeSequence=coded(value))


def text(relation: str, name: Code, words: str) -> Dataset:
    """Return a TEXT."""
    return item(relation, "TEXT", name, TextValue=words)


def number(relation: str, name: Code, value: float, unit: Code) -> Dataset:
    """Return a NUM."""
    measured = Dataset()
    measured.NumericValue, measured.MeasurementUnitsCodeSequence = f"{value:.6g}", coded(unit)
    return item(relation, "NUM", name, MeasuredValueSequence=[measured])


def image(relation: str, sop_class: str, sop_uid: str, *children: Dataset) -> Dataset:
    """Return an IMAGE."""
    return item(relation, "IMAGE", None, *children, ReferencedSOPSequence=[reference(sop_class, sop_uid)])


def by_reference(relation: str, path: Sequence[int]) -> Dataset:
    """Return a relation to an item elsewhere in the tree, given by its path from the root."""
    found = Dataset()
    found.RelationshipType, found.ReferencedContentItemIdentifier = relation, list(path)
    return found


def shape(name: Code, kind: str, points: Iterable[tuple[float, float]], image_path: Sequence[int]) -> Dataset:
    """Return an SCOORD: POINT or POLYLINE of points (x, y) of an image of the library."""
    data = [float(value) for point in points for value in point]
    selected = by_reference("SELECTED FROM", image_path)
    return item("HAS PROPERTIES", "SCOORD", name, selected, GraphicType=kind, GraphicData=data)
