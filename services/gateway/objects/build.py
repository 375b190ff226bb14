"""All result objects of a report, as they are sent."""

import logging
import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial

from pydicom.dataset import Dataset

from services.gateway.objects import (
    cad_sr,
    measurement_report,
    presentation_state,
    secondary_capture,
    segmentation,
)
from services.gateway.report import Report, ResultKind
from shared.imaging.formats.dicom_writer import dicom_bytes

logging.getLogger("highdicom").setLevel(logging.WARNING)  # at INFO it logs UIDs of the films


@dataclass(frozen=True)
class ResultObject:
    """A DICOM file with a result; `data` is the whole file."""

    kind: ResultKind
    sop_class: str
    sop_uid: str
    series_uid: str
    study_uid: str
    data: bytes


def build_objects(
    report: Report, kinds: Collection[ResultKind], film_data: Callable[[str], bytes]
) -> Iterator[ResultObject]:
    """Build the objects of the wanted kinds one after the other.

    Args:
        film_data: returns a film's DICOM file by its SOP Instance UID; called for the pictures alone.
    """
    for kind, make in _builders(report, kinds, film_data):
        with warnings.catch_warnings(action="ignore"):  # highdicom and pydicom quote the patient's name in them
            found = make()
        if found is not None:
            yield ResultObject(
                kind,
                sop_class=str(found.SOPClassUID),
                sop_uid=str(found.SOPInstanceUID),
                series_uid=str(found.SeriesInstanceUID),
                study_uid=str(found.StudyInstanceUID),
                data=dicom_bytes(found),
            )


def _builders(
    report: Report, kinds: Collection[ResultKind], film_data: Callable[[str], bytes]
) -> Iterator[tuple[ResultKind, Callable[[], Dataset | None]]]:
    for_report: dict[ResultKind, Callable[[Report], Dataset | None]] = {
        "cad-sr": cad_sr.build,
        "tid1500": measurement_report.build,
        "gsps": presentation_state.build,
    }
    for kind, build in for_report.items():
        if kind in kinds:
            yield kind, partial(build, report)
    for film in report.films:
        if "sc" in kinds:
            yield "sc", partial(secondary_capture.build, report, film, film_data)
        if "seg" in kinds:
            yield "seg", partial(segmentation.build, report, film)
