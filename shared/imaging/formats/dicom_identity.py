"""Read from a DICOM header what ties a file to a row of a table.

Only ingestion reads these elements, to find the row that belongs to a file. They identify a patient: nothing of them is
stored, logged, or quoted in a message.
"""

from shared.errors import ImageError
from shared.imaging.formats.dicom import read_elements
from shared.imaging.formats.dicom_elements import or_default, value_of
from shared.imaging.formats.dicom_metadata import TAGS, laterality_of, view_of

_IDENTITY = {
    "patient": 0x00100020,
    "accession": 0x00080050,
    "study": 0x0020000D,
    "series": 0x0020000E,
    "sop": 0x00080018,
    "description": 0x0008103E,
}
IDENTITY = (*_IDENTITY, "side", "view")
"""What `read_identity` returns."""


def read_identity(data: bytes) -> dict[str, str]:
    """Return patient, accession number, UIDs, series description, side and view.

    The side is L or R; what is unknown is "". A file that is not DICOM, or damaged, has none of them.
    """
    try:
        elements = read_elements(data, [*_IDENTITY.values(), *TAGS])
    except ImageError:
        return dict.fromkeys(IDENTITY, "")
    identity = {
        name: str(or_default([], lambda tag=tag: value_of(elements, tag), None) or "").strip()  # type: ignore[misc]
        for name, tag in _IDENTITY.items()
    }
    return {**identity, "side": laterality_of(elements) or "", "view": view_of(elements) or ""}
