"""Mammography CAD SR (PS3.3 A.35.5, TID 4000), what mammography workstations show as CAD marks."""

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import MammographyCADSRStorage

from services.gateway.films import SideLetter
from services.gateway.objects import content, modules
from services.gateway.objects.content import PERCENT, code, container, dcm, item, number, text
from services.gateway.objects.heat import is_suspicious, outline_of, region_of
from services.gateway.objects.wording import RESEARCH, SIDES, breast_words, parameters, report_words
from services.gateway.report import Report, ReportedFilm

SIDE_CODES: dict[SideLetter, Code] = {
    "L": Code("80248007", "SCT", "Left breast"),
    "R": Code("73056007", "SCT", "Right breast"),
}
VIEW_CODES = {
    "ML": Code("399260004", "SCT", "medio-lateral"),
    "MLO": Code("399368009", "SCT", "medio-lateral oblique"),
    "LM": Code("399352003", "SCT", "latero-medial"),
    "LMO": Code("399099002", "SCT", "latero-medial oblique"),
    "CC": Code("399162004", "SCT", "cranio-caudal"),
    "FB": Code("399196006", "SCT", "caudo-cranial (from below)"),
    "SIO": Code("399188001", "SCT", "superolateral to inferomedial oblique"),
    "ISO": Code("441555000", "SCT", "inferomedial to superolateral oblique"),
    "XCCL": Code("399192008", "SCT", "cranio-caudal exaggerated laterally"),
    "XCCM": Code("399101009", "SCT", "cranio-caudal exaggerated medially"),
}
"""Codes of PS3.16 CID 6023 and CID 4014."""

_LIBRARY_PATH = (1, 2)  # of the root's children, the language is the first and the image library the second
_INTENT = dcm("111056", "Rendering Intent")
_REQUIRED = dcm("111150", "Presentation Required: Rendering device is expected to present")
_OPTIONAL = dcm("111151", "Presentation Optional: Rendering device may present")
_HIDDEN = dcm("111152", "Not for Presentation: Rendering device expected not to present")
_FINDING = dcm("111059", "Single Image Finding")
_REGION, _GEOMETRY = dcm("111099", "Selected region"), dcm("111100", "Breast geometry")
_IMPRESSION = dcm("111034", "Individual Impression/Recommendation")


def build(report: Report) -> Dataset:
    """Build the report of all films that the image library can name, with the others in words."""
    found = modules.start_object(report, "cad-sr", str(MammographyCADSRStorage), [film.header for film in report.films])
    found.ReferencedPerformedProcedureStepSequence, found.PerformedProcedureCodeSequence = [], []
    found.CompletionFlag, found.VerificationFlag = "COMPLETE", "UNVERIFIED"
    found.CurrentRequestedProcedureEvidenceSequence = modules.evidence(film.header for film in report.films)
    if "cad-sr" in report.predecessors:
        found.PredecessorDocumentsSequence = modules.predecessor(report.study_uid, report.predecessors["cad-sr"])
    found.ValueType, found.ContinuityOfContent = "CONTAINER", "SEPARATE"
    found.ConceptNameCodeSequence = content.coded(dcm("111036", "Mammography CAD Report"))
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "4000"
    found.ContentTemplateSequence = [template]
    library = [film for film in report.films if film.side and film.view in VIEW_CODES]
    found.ContentSequence = [
        _language(),
        container("CONTAINS", dcm("111028", "Image Library"), *(_library_entry(film) for film in library)),
        _summary(report, library),
        _detections(report, library),
        code("CONTAINS", dcm("111065", "Summary of Analyses"), dcm("111225", "Not Attempted")),
    ]
    return found


def _language() -> Dataset:
    country = code("HAS CONCEPT MOD", dcm("121046", "Country of Language"), Code("US", "ISO3166_1", "United States"))
    name = dcm("121049", "Language of Content Item and Descendants")
    return code("HAS CONCEPT MOD", name, Code("en", "RFC5646", "English"), country)


def _library_entry(film: ReportedFilm) -> Dataset:
    """Return a film with its acquisition context (TID 4020)."""
    context, header = "HAS ACQ CONTEXT", film.header
    if film.side is None or film.view is None:
        raise ValueError("the image library needs side and view")
    entries = [
        code(context, dcm("111027", "Image Laterality"), SIDE_CODES[film.side]),
        code(context, dcm("111031", "Image View"), VIEW_CODES[film.view]),
    ]
    orientation = header.elements.get("PatientOrientation")
    if orientation and len(orientation) == 2:
        names = (("111044", "Patient Orientation Row"), ("111043", "Patient Orientation Column"))
        entries += [text(context, dcm(*name), str(value)) for name, value in zip(names, orientation, strict=True)]
    for name, keyword in ((("111060", "Study Date"), "StudyDate"), (("111018", "Content Date"), "ContentDate")):
        if header.text(keyword):
            entries.append(item(context, "DATE", dcm(*name), Date=header.text(keyword)))
        timed = keyword.replace("Date", "Time")
        code_of_time = ("111061", "Study Time") if timed == "StudyTime" else ("111019", "Content Time")
        if header.text(timed):
            entries.append(item(context, "TIME", dcm(*code_of_time), Time=header.text(timed)))
    spacing = header.elements.get("ImagerPixelSpacing")
    if spacing and len(spacing) == 2:
        names = (("111026", "Horizontal Pixel Spacing"), ("111066", "Vertical Pixel Spacing"))
        for name, millimetres in zip(names, (spacing[1], spacing[0]), strict=True):
            entries.append(number(context, dcm(*name), float(millimetres) * 1000, content.MICROMETRES))
    return content.image("CONTAINS", header.sop_class, header.sop_uid, *entries)


def _summary(report: Report, library: Sequence[ReportedFilm]) -> Dataset:
    """Return the findings of the report (TID 4001): impressions by breast, then the geometry of the breasts."""
    findings = [each for side in SIDES if (each := _impression(report, side, library)) is not None]
    geometry = [each for side in SIDES if (each := _breast_geometry(report, side, library)) is not None]
    certainty = []
    if report.exam is not None:
        name = dcm("111013", "Certainty of impression")
        certainty.append(number("HAS PROPERTIES", name, 100 * report.exam.decision.score, PERCENT))
    return code(
        "CONTAINS",
        dcm("111017", "CAD Processing and Findings Summary"),
        _outcome(report),
        text("HAS PROPERTIES", dcm("111033", "Impression Description"), report_words(report)),
        *certainty,
        *_algorithm(report, "HAS PROPERTIES"),
        *findings,
        *geometry,
    )


def _outcome(report: Report) -> Code:
    """Return the code of CID 6047 for how many films have a result, and whether any is suspicious."""
    if not report.succeeded:
        return dcm("111245", "No algorithms succeeded; without findings")
    suspicious = any(map(is_suspicious, report.succeeded))
    if len(report.succeeded) == len(report.films):
        return (
            dcm("111242", "All algorithms succeeded; with findings")
            if suspicious
            else dcm("111241", "All algorithms succeeded; without findings")
        )
    return (
        dcm("111244", "Not all algorithms succeeded; with findings")
        if suspicious
        else dcm("111243", "Not all algorithms succeeded; without findings")
    )


def _impression(report: Report, side: SideLetter, library: Sequence[ReportedFilm]) -> Dataset | None:
    """Return the suspicious regions of a breast; None if there are none."""
    marked = [
        (film, film.finding, region)
        for film in report.side(side)
        if film in library and film.finding and (region := region_of(film))
    ]
    if not marked:
        return None
    intent = code("HAS CONCEPT MOD", _INTENT, _REQUIRED)
    impression = container("INFERRED FROM", _IMPRESSION, intent)
    for film, finding, region in marked:
        path = _path(film, library)
        words = f"where the network's evidence is strongest. {breast_words(report, side)}. {RESEARCH}"
        mark = code(
            "CONTAINS",
            _FINDING,
            _REGION,
            code("HAS CONCEPT MOD", _INTENT, _REQUIRED),
            *_algorithm(report, "HAS PROPERTIES"),
            number("HAS PROPERTIES", dcm("111012", "Certainty of Finding"), 100 * finding.decision.score, PERCENT),
            content.shape(dcm("111010", "Center"), "POINT", [region.centre], path),
            content.shape(dcm("111041", "Outline"), "POLYLINE", region.outline, path),
            text("HAS PROPERTIES", dcm("111058", "Selected Region Description"), words),
        )
        content.add(impression, [mark])
    return impression


def _breast_geometry(report: Report, side: SideLetter, library: Sequence[ReportedFilm]) -> Dataset | None:
    """Return the outlines of a breast, not for presentation; None if there are none."""
    outlined = [film for film in report.side(side) if film in library and outline_of(film)]
    if not outlined:
        return None
    impression = container("INFERRED FROM", _IMPRESSION, code("HAS CONCEPT MOD", _INTENT, _HIDDEN))
    name = dcm("111007", "Breast Outline Including Pectoral Muscle Tissue")
    for film in outlined:
        geometry = code(
            "CONTAINS",
            _FINDING,
            _GEOMETRY,
            code("HAS CONCEPT MOD", _INTENT, _HIDDEN),
            *_algorithm(report, "HAS PROPERTIES"),
            content.shape(name, "POLYLINE", outline_of(film), _path(film, library)),
        )
        content.add(impression, [geometry])
    return impression


def _detections(report: Report, library: Sequence[ReportedFilm]) -> Dataset:
    """Return which films were worked on, with and without success (TID 4015)."""
    done = [film for film in library if film.applies]
    failed = [film for film in library if not film.applies]
    status = dcm("111222", "Succeeded") if not failed else dcm("111223", "Partially Succeeded")
    if not done:
        status = dcm("111224", "Failed")
    groups = []
    for name, films in ((dcm("111063", "Successful Detections"), done), (dcm("111025", "Failed Detections"), failed)):
        if films:
            groups.append(container("INFERRED FROM", name, *_performed(report, films, library)))
    return code("CONTAINS", dcm("111064", "Summary of Detections"), status, *groups)


def _performed(report: Report, films: Sequence[ReportedFilm], library: Sequence[ReportedFilm]) -> Iterator[Dataset]:
    for detection in (_REGION, _GEOMETRY):
        on = [content.by_reference("HAS PROPERTIES", _path(film, library)) for film in films]
        yield code(
            "CONTAINS",
            dcm("111022", "Detection Performed"),
            detection,
            *_algorithm(report, "HAS PROPERTIES"),
            *on,
        )


def _algorithm(report: Report, relation: str) -> list[Dataset]:
    """Return the identification of the algorithm (TID 4019)."""
    name = text(relation, dcm("111001", "Algorithm Name"), f"{modules.MANUFACTURER} {report.model.network}")
    version = text(relation, dcm("111003", "Algorithm Version"), report.model.version)
    used = [text(relation, dcm("111002", "Algorithm Parameters"), words) for words in parameters(report)]
    return [name, version, *used]


def _path(film: ReportedFilm, library: Sequence[ReportedFilm]) -> tuple[int, ...]:
    """Return the place of a film's library entry in the tree (PS3.3 C.17.3.2.5)."""
    return *_LIBRARY_PATH, library.index(film) + 1
