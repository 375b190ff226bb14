"""Measurement report (TID 1500) as Comprehensive 3D SR, the form that IHE AI Results asks for."""

import numpy as np
from highdicom import UID, sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from services.gateway.films import SideLetter
from services.gateway.objects import content, modules
from services.gateway.objects.heat import region_of
from services.gateway.objects.uids import device_uid, tracking_uid
from services.gateway.objects.wording import parameters, report_words
from services.gateway.report import Report, ReportedFilm

PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
"""Of CID 100, which has no code of mammography; validators report other codes as errors."""

_BREAST = Code("76752008", "SCT", "Breast")
_SIDES: dict[SideLetter, Code] = {"L": Code("7771000", "SCT", "Left"), "R": Code("24028007", "SCT", "Right")}
_FINDING = Code("365853002", "SCT", "Imaging finding")
_REGION = Code("111099", "DCM", "Selected region")
_CERTAINTY = Code("111013", "DCM", "Certainty of impression")
_INTERPRETATION = Code("363713009", "SCT", "Has interpretation")
_VERDICTS = {
    "abnormal": Code("263654008", "SCT", "Abnormal"),
    "normal": Code("17621005", "SCT", "Normal"),
    "uncertain": Code("82334004", "SCT", "Indeterminate"),
}


def build(report: Report) -> Dataset:
    """Build the report: a group for each breast, with a result or without, and the suspicious regions."""
    films = [film.header.elements for film in report.films]
    groups: list[sr.MeasurementsAndQualitativeEvaluations | sr.PlanarROIMeasurementsAndQualitativeEvaluations]
    groups = [_breast(report, side) for side in _SIDES if report.side(side)]
    groups += [_region(report, film) for film in report.films if region_of(film) is not None]
    measured = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_device(report)),
        procedure_reported=PROCEDURE,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
        referenced_images=films,
    )
    headers = [film.header for film in report.films]
    found = sr.Comprehensive3DSR(
        evidence=films,
        content=measured[0],
        series_instance_uid="1.2",  # `finish_object` sets what identifies it
        series_number=1,
        sop_instance_uid="1.2",
        instance_number=1,
        manufacturer=modules.MANUFACTURER,
        is_complete=True,
        is_final=False,
    )
    content.add(found, [_words(report)])
    modules.finish_object(found, report, "tid1500", headers)
    found.CurrentRequestedProcedureEvidenceSequence = modules.evidence(headers)
    if "tid1500" in report.predecessors:
        found.PredecessorDocumentsSequence = modules.predecessor(report.study_uid, report.predecessors["tid1500"])
    return found


def _words(report: Report) -> Dataset:
    """Return the report in words, with the reasons of films without a result, which the groups have no place for."""
    return content.container(
        "CONTAINS",
        Code("C0034375", "UMLS", "Qualitative Evaluations"),
        content.text("CONTAINS", Code("121106", "DCM", "Comment"), report_words(report)),
    )


def _device(report: Report) -> sr.ObserverContext:
    model = report.model
    return sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=UID(device_uid(model.network)),
            name=modules.MANUFACTURER,
            manufacturer_name=modules.MANUFACTURER,
            model_name=f"{model.network} {model.version}"[:64],
            serial_number=model.sha256[:16],
        ),
    )


def _algorithm(report: Report) -> sr.AlgorithmIdentification:
    return sr.AlgorithmIdentification(
        name=f"{modules.MANUFACTURER} {report.model.network}",
        version=report.model.version,
        family=Code("123110", "DCM", "Artificial Intelligence"),
        parameters=list(parameters(report)),
    )


def _breast(report: Report, side: SideLetter) -> sr.MeasurementsAndQualitativeEvaluations:
    """Return the finding of a breast, or the breast alone if it has no finding that the model applies to."""
    found = report.breast(side)
    measured = evaluated = None
    if found is not None:
        measured = [
            sr.Measurement(codes.DCM.ProbabilityOfCancer, _percent(found.probabilities.malignant), codes.UCUM.Percent),
            sr.Measurement(_CERTAINTY, _percent(found.decision.score), codes.UCUM.Percent),
        ]
        evaluated = [sr.QualitativeEvaluation(_INTERPRETATION, _VERDICTS[found.decision.answer])]
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            UID(tracking_uid(report, "breast", side)), f"Breast {side}, research only"
        ),
        finding_type=_FINDING,
        finding_sites=[sr.FindingSite(_BREAST, _SIDES[side])],
        algorithm_id=_algorithm(report),
        measurements=measured,
        qualitative_evaluations=evaluated,
        source_images=[
            sr.SourceImageForMeasurementGroup(film.header.sop_class, film.header.sop_uid) for film in report.side(side)
        ],
    )


def _region(report: Report, film: ReportedFilm) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    region, finding = region_of(film), film.finding
    if region is None or finding is None:
        raise ValueError("the film has no suspicious region")
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            UID(tracking_uid(report, "region", film.header.sop_uid)),
            f"Strongest evidence {film.side or ''}{film.view or ''}, research only",
        ),
        referenced_region=sr.ImageRegion(
            graphic_type=sr.GraphicTypeValues.POLYLINE,
            graphic_data=np.array(region.outline),
            source_image=sr.SourceImageForRegion(film.header.sop_class, film.header.sop_uid),
        ),
        finding_type=_REGION,
        algorithm_id=_algorithm(report),
        finding_sites=[sr.FindingSite(_BREAST, _SIDES[film.side] if film.side else None)],
        measurements=[
            sr.Measurement(codes.DCM.ProbabilityOfCancer, _percent(finding.probabilities.malignant), codes.UCUM.Percent)
        ],
    )


def _percent(share: float) -> float:
    return round(100 * share, 4)
