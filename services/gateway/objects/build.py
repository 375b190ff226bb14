"""All result objects of a report, as they are sent."""

import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

from services.gateway.objects import (
    cad_sr,
    measurement_report,
    modules,
    presentation_state,
    secondary_capture,
    segmentation,
)
from services.gateway.report import Kind, Report

logging.getLogger("highdicom").setLevel(logging.WARNING)  # at INFO it logs UIDs of the films


@dataclass(frozen=True)
class ResultObject:
    """A DICOM file with a result; `data` is the whole file."""

    kind: Kind
    sop_class: str
    sop_uid: str
    series_uid: str
    study_uid: str
    data: bytes


def build_objects(report: Report, kinds: Collection[Kind], film_data: Callable[[str], bytes]) -> Iterator[ResultObject]:
    """Build the objects of the wanted kinds one after the other.

    Args:
        film_data: returns a film's DICOM file by its SOP Instance UID; called for the pictures alone.
    """
    for kind, found in _data_sets(report, kinds, film_data):
        if found is not None:
            yield ResultObject(
                kind,
                sop_class=str(found.SOPClassUID),
                sop_uid=str(found.SOPInstanceUID),
                series_uid=str(found.SeriesInstanceUID),
                study_uid=str(found.StudyInstanceUID),
                data=modules.to_file(found),
            )


def _data_sets(
    report: Report, kinds: Collection[Kind], film_data: Callable[[str], bytes]
) -> Iterator[tuple[Kind, Dataset | None]]:
    if "cad-sr" in kinds:
        yield "cad-sr", cad_sr.build(report)
    if "tid1500" in kinds:
        yield "tid1500", measurement_report.build(report)
    if "gsps" in kinds:
        yield "gsps", presentation_state.build(report)
    for film in report.films:
        if "sc" in kinds:
            yield "sc", secondary_capture.build(report, film, film_data(film.header.sop_uid))
        if "seg" in kinds:
            yield "seg", segmentation.build(report, film)
