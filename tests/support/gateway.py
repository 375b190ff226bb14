"""Exams for the gateway's tests: DICOM films of a made-up patient, and answers of the inference service."""

import base64
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import cv2
import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from services.gateway.eligibility import Refusal
from services.gateway.films import FilmHeader, read_header
from services.gateway.report import Report, join
from shared.api.exams import BreastFinding, ExamFilm, ExamFinding, ExamPrediction, FilmProblem
from shared.api.films import ApplicabilityAnswer, FilmAbout, FilmSide, FilmView
from shared.api.predictions import (
    Box,
    DecisionAnswer,
    FilmAnswer,
    GateAnswer,
    HeatMap,
    ImageFacts,
    ModelInUse,
    PointInUse,
    Probabilities,
    Seconds,
)
from shared.datasets.synthetic_dicom import FOUR_VIEWS, Patient, dicom_film
from shared.domain.records import Label
from shared.imaging.formats.decode import encode_png
from shared.modelling.bootstrap import Interval

Verdict = Literal["normal", "uncertain", "abnormal"]

PATIENT = Patient("SECRETNAME^MARY", "SECRET-NUMBER-7", "1.2.826.0.1.3680043.8.498.77.1", "20261130", "SECRET-ACC-9")
SECRETS = ("SECRETNAME", "MARY", "SECRET-NUMBER-7", "SECRET-ACC-9", "SECRET-INSTITUTION", PATIENT.study_uid)
"""Values of the headers that must not leave the films, the results and the inbox."""

WIDTH, HEIGHT = 300, 400
_OUTLINE = ((10, 20), (200, 60), (210, 200), (180, 320), (10, 380))
MADE = datetime(2026, 11, 30, 9, 30, tzinfo=UTC)
_NONE = Interval(value=0.9, low=0.8, high=0.95)


def four_films(patient: Patient = PATIENT) -> list[bytes]:
    """Four small films, R CC, L CC, R MLO, L MLO, with grey levels that look like nothing."""
    films = []
    for number, (side, view) in enumerate(FOUR_VIEWS, 1):
        pixels = (np.random.default_rng(number).random((HEIGHT, WIDTH)) * 4095).astype(np.uint16)
        films.append(dicom_film(pixels, 12, patient, side, view, number, walls_right=side == "left"))
    return films


def changed(film: bytes, **elements: Any) -> bytes:
    """Return a film with other elements, by keyword; None takes one away."""
    found = pydicom.dcmread(io.BytesIO(film))
    for keyword, value in elements.items():
        if value is None:
            delattr(found, keyword)
        else:
            setattr(found, keyword, value)
    found.file_meta.MediaStorageSOPInstanceUID = UID(found.SOPInstanceUID or "1.2")
    found.file_meta.MediaStorageSOPClassUID = UID(found.SOPClassUID or "1.2")
    file = io.BytesIO()
    dcmwrite(file, found, enforce_file_format=True)
    return file.getvalue()


def finding(
    header: FilmHeader, verdict: Verdict = "abnormal", applies: bool | None = True, reasons: Sequence[str] = ()
) -> FilmAnswer:
    """Return the finding of a film; its heat has one peak at a quarter of width and a half of height."""
    width, height = header.size
    heat = np.zeros((128, 96), np.uint8)
    cv2.circle(heat, (24, 64), 12, 255, -1)
    heat = np.asarray(cv2.GaussianBlur(heat, (0, 0), 3), np.uint8)
    label = Label.NORMAL if verdict == "normal" else Label.MALIGNANT
    return FilmAnswer(
        **_judgement(verdict),
        gate=GateAnswer(passed=True, score=0.99, reason="a mammogram"),
        image=ImageFacts(width=width, height=height, bits=12, format="DICOM", reduction=1),
        about=FilmAbout(
            view=FilmView(name=header.view or "CC", source="file", modifiers=()),
            laterality=FilmSide(name=header.side or "R", source="file"),
            chest_wall="left",
            acquisition="digital",
            vendor=None,
            implant=False,
            windows=(),
            disagreements=(),
            notes=(),
        ),
        applicability=ApplicabilityAnswer(applies=applies, reasons=tuple(reasons), misfits=(), unknown=()),
        breast_box=Box(x=10, y=20, width=200, height=300),
        seconds=Seconds(decode=0.1, segment=0.1, network=0.1, total=0.3),
        outline=tuple((x * width // WIDTH, y * height // HEIGHT) for x, y in _OUTLINE),
        heatmap=HeatMap(label=label, form="grey", png=base64.b64encode(encode_png(heat)).decode()),
    )


def _judgement(verdict: Verdict) -> dict[str, Any]:
    normal = {"normal": 0.9, "uncertain": 0.7, "abnormal": 0.2}[verdict]
    point = PointInUse(name="screening", threshold=0.25, sensitivity=_NONE, specificity=_NONE)
    return {
        "label": Label.NORMAL if normal > 0.5 else Label.MALIGNANT,
        "probabilities": Probabilities(normal=normal, benign=0.1, malignant=round(0.9 - normal, 6)),
        "decision": DecisionAnswer(
            answer=verdict, score=round(1 - normal, 6), operating_point=point, uncertain_between=(0.15, 0.4)
        ),
    }


def answer(films: Sequence[FilmAnswer | FilmProblem], version: str = "v1") -> ExamPrediction:
    """Return the answer to an exam whose films have these findings or problems."""
    answers = [
        ExamFilm(
            position=position,
            name=None,
            finding=film if isinstance(film, FilmAnswer) else None,
            problem=film if isinstance(film, FilmProblem) else None,
        )
        for position, film in enumerate(films)
    ]
    breasts: list[BreastFinding] = []
    for side in ("R", "L"):
        of_side = [each for each in answers if each.finding and each.finding.about.laterality.name == side]
        if of_side:
            worst = max((each.finding for each in of_side), key=lambda each: each.decision.score)
            places = tuple(each.position for each in of_side)
            judged = _judgement(worst.decision.answer)
            breasts.append(BreastFinding(**judged, laterality=side, films=places, figures_of="breast"))
    found = max(breasts, key=lambda each: each.decision.score, default=None)
    return ExamPrediction(
        request_id="0123456789abcdef",
        model=ModelInUse(
            network="resnet50",
            version=version,
            file="model.onnx",
            sha256="ab" * 32 if version == "v1" else "cd" * 32,
            dataset="generated",
            synthetic=True,
        ),
        notice="For research only; not a medical device. Trained on synthetic films.",
        films=tuple(answers),
        breasts=tuple(breasts),
        exam=None
        if found is None
        else ExamFinding(**_judgement(found.decision.answer), laterality=found.laterality, figures_of="exam"),
        rule="made up",
    )


def problem(code: str = "not-a-mammogram") -> FilmProblem:
    """Return the problem of a film that the gate rejects."""
    return FilmProblem(code=code, detail="the image shows no breast; send one whole mammogram", status=422)


def report(
    films: Sequence[bytes] | None = None,
    verdicts: Sequence[Verdict | FilmProblem | Refusal | FilmAnswer] = ("abnormal", "normal", "abnormal", "normal"),
    version: str = "v1",
    **changes: Any,
) -> Report:
    """Return the report of an exam whose films are judged like this; a Refusal: the film was not sent."""
    headers = [read_header(film) for film in films or four_films()]
    sent, refusals, findings = [], {}, []
    for header, verdict in zip(headers, verdicts, strict=True):
        if isinstance(verdict, Refusal):
            refusals[header.sop_uid] = verdict
            continue
        sent.append(header.sop_uid)
        findings.append(finding(header, verdict) if isinstance(verdict, str) else verdict)
    answered = answer(findings, version)
    joined = join(headers, refusals, sent, answered)
    return Report(joined, answered, "screening", MADE, **changes)


def tree(found: Dataset) -> list[Any]:
    """Return the content tree of a structured report, as JSON for golden files."""
    return [_item(each) for each in found.ContentSequence]


def _item(item: Dataset) -> dict[str, Any]:
    if "ReferencedContentItemIdentifier" in item:
        return {"relation": item.RelationshipType, "target": list(item.ReferencedContentItemIdentifier)}
    name = item.get("ConceptNameCodeSequence")
    shown: dict[str, Any] = {
        "relation": item.get("RelationshipType", ""),
        "type": item.ValueType,
        "name": name[0].CodeMeaning if name else "",
        "value": _value(item),
        "children": [_item(child) for child in item.get("ContentSequence", [])],
    }
    return {key: value for key, value in shown.items() if value not in ("", [])}


def _value(item: Dataset) -> Any:
    match item.ValueType:
        case "CODE":
            code = item.ConceptCodeSequence[0]
            return f"{code.CodeValue} {code.CodingSchemeDesignator} {code.CodeMeaning}"
        case "NUM":
            measured = item.MeasuredValueSequence[0]
            return f"{measured.NumericValue} {measured.MeasurementUnitsCodeSequence[0].CodeValue}"
        case "IMAGE":
            return str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        case "SCOORD":
            return [item.GraphicType, *(round(float(value), 2) for value in item.GraphicData)]
        case "TEXT" | "UIDREF" | "DATE" | "TIME" | "PNAME":
            keyword = {"TEXT": "TextValue", "UIDREF": "UID", "DATE": "Date", "TIME": "Time", "PNAME": "PersonName"}
            return str(item[keyword[item.ValueType]].value)
    return ""
