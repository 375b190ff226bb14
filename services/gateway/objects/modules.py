"""Modules that all result objects share: patient and study of the films, series, equipment, references."""

from collections import defaultdict
from collections.abc import Iterable

from pydicom.dataset import Dataset

from services.gateway.films import PATIENT_AND_STUDY, FilmHeader
from services.gateway.objects.uids import instance_uid, series_uid
from services.gateway.report import KINDS, Predecessor, Report, ReportedFilm, ResultKind

MANUFACTURER = "Mammostack"
MODEL_NAME = "Mammostack inference"
SERIES_DESCRIPTIONS: dict[ResultKind, str] = {
    "cad-sr": "Mammostack CAD (research only, no medical device)",
    "tid1500": "Mammostack report (research only, no medical device)",
    "sc": "Mammostack pictures (research only, no medical device)",
    "gsps": "Mammostack outlines (research only, no medical device)",
    "seg": "Mammostack breast region (research only, no medical device)",
}
_MODALITIES: dict[ResultKind, str] = {"cad-sr": "SR", "tid1500": "SR", "sc": "OT", "gsps": "PR", "seg": "SEG"}
_MOST_SERIES = 2**31 - 1 - len(KINDS)
_REQUIRED = {"PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"}
_REQUIRED |= {"AccessionNumber", "ReferringPhysicianName"}


def start_object(report: Report, kind: ResultKind, sop_class: str, films: Iterable[FilmHeader]) -> Dataset:
    """Start an object about films: everything but what belongs to its kind.

    Args:
        films: films of the report that the object is about; they decide its UID.
    """
    found = Dataset()
    found.SOPClassUID = sop_class
    found.Modality = _MODALITIES[kind]
    finish_object(found, report, kind, films)
    return found


def finish_object(found: Dataset, report: Report, kind: ResultKind, films: Iterable[FilmHeader]) -> None:
    """Set patient, study, series, equipment, UIDs and times, whatever was there before."""
    _share(found, report.films[0].header)
    found.SOPInstanceUID = instance_uid(report, kind, [film.sop_uid for film in films])
    found.SeriesInstanceUID = series_uid(report.study_uid, report.model.network, kind)
    found.SeriesNumber = series_number(report, kind)
    found.SeriesDescription = SERIES_DESCRIPTIONS[kind]
    found.InstanceNumber = report.predecessors[kind].instance_number + 1 if kind in report.predecessors else 1
    found.Manufacturer, found.ManufacturerModelName = MANUFACTURER, MODEL_NAME
    found.DeviceSerialNumber = report.model.sha256[:16]
    found.SoftwareVersions = f"{report.model.network} {report.model.version}"[:64]
    for prefix in ("Content", "InstanceCreation", "Series"):
        setattr(found, f"{prefix}Date", report.made.strftime("%Y%m%d"))
        setattr(found, f"{prefix}Time", report.made.strftime("%H%M%S"))
    for equipment in found.get("ContributingEquipmentSequence", []):
        equipment.ContributionDateTime = report.made.strftime("%Y%m%d%H%M%S")
    found.TimezoneOffsetFromUTC = report.made.strftime("%z")[:5] or "+0000"


def _share(found: Dataset, film: FilmHeader) -> None:
    """Copy patient and study in UTF-8, so that any character set of the film is kept."""
    found.SpecificCharacterSet = "ISO_IR 192"
    for keyword in PATIENT_AND_STUDY:
        if keyword in film.elements:
            setattr(found, keyword, film.text(keyword))
        elif keyword in _REQUIRED:
            setattr(found, keyword, "")
        elif keyword in found:
            delattr(found, keyword)


def series_number(report: Report, kind: ResultKind) -> int:
    """Return the number of a kind's series."""
    first = min(report.first_series, _MOST_SERIES)
    return report.series_numbers.get(kind, first + KINDS.index(kind))


def place_of(film: ReportedFilm) -> int:
    """Return the number of an object about one film, which no other film of the study changes."""
    side, view = film.side, film.view
    return (
        5 if side is None or view not in ("CC", "MLO") else 1 + ("CC", "MLO").index(view) * 2 + ("R", "L").index(side)
    )


def evidence(films: Iterable[FilmHeader]) -> list[Dataset]:
    """Return the references of a document: study, series, films (PS3.3 C.17.2)."""
    by_series: dict[tuple[str, str], list[FilmHeader]] = defaultdict(list)
    for film in films:
        by_series[film.study_uid, film.series_uid].append(film)
    by_study: dict[str, list[Dataset]] = defaultdict(list)
    for (study, series), members in by_series.items():
        by_study[study].append(_series_item(series, [reference(film.sop_class, film.sop_uid) for film in members]))
    return [_study_item(study, items) for study, items in by_study.items()]


def predecessor(study_uid: str, earlier: Predecessor) -> list[Dataset]:
    """Return Predecessor Documents Sequence: the earlier result that this one replaces."""
    return [_study_item(study_uid, [_series_item(earlier.series_uid, [reference(earlier.sop_class, earlier.sop_uid)])])]


def reference(sop_class: str, sop_uid: str) -> Dataset:
    """Return an item that refers to an object."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_uid
    return item


def _series_item(series: str, references: list[Dataset]) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID, item.ReferencedSOPSequence = series, references
    return item


def _study_item(study: str, series: list[Dataset]) -> Dataset:
    item = Dataset()
    item.StudyInstanceUID, item.ReferencedSeriesSequence = study, series
    return item
