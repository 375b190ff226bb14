"""All result objects of a report, as they are sent."""

import logging
import warnings
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
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

_THREADS = 2  # reports are Python's own work, pictures that of libraries which run next to it
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
) -> list[ResultObject]:
    """Build the objects of the wanted kinds; pictures are drawn while reports are written.

    Args:
        film_data: returns a film's DICOM file by its SOP Instance UID; called for the pictures alone, in threads.
    """
    for film in report.films:
        for _ in film.header.elements.iterall():
            pass  # pydicom decodes elements when they are first read, which two threads must not do at a time
    with (
        warnings.catch_warnings(action="ignore"),  # highdicom and pydicom quote the patient's name in them
        ThreadPoolExecutor(_THREADS) as threads,
    ):
        found = list(threads.map(lambda builder: _built(*builder), _builders(report, kinds, film_data)))
    return [each for each in found if each is not None]


def _built(kind: ResultKind, make: Callable[[], Dataset | None]) -> ResultObject | None:
    found = make()
    if found is None:
        return None
    return ResultObject(
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
