"""Read view, modifiers, acquisition, vendor and implant from a DICOM header.

Values are only compared with lists of this module; free text of a header is never passed on, because it may hold a
patient's name. Kinds that are no mammogram for presentation are refused by `refuse_unsuitable` before any pixel is
decoded.
"""

import re
from collections.abc import Iterator
from typing import Any, Literal

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from shared.domain.films import Acquisition
from shared.errors import UnsuitableKind
from shared.imaging.formats.dicom_elements import MAX_SEQUENCE, number_of, or_default, value_of
from shared.imaging.image import FileMetadata

TAGS = [
    *(0x00080008, 0x00080016, 0x00080060, 0x00080064, 0x00080068, 0x00080070, 0x0008103E),
    *(0x00180010, 0x00180015, 0x00181114, 0x00185101, 0x00200060, 0x00200062),
    *(0x00280300, 0x00280301, 0x00281300, 0x00281350),
    *(0x00400512, 0x00400550, 0x00400560, 0x00500004, 0x00540220, 0x00540222),
]
"""Elements that are looked at here."""

_MG_PRESENTATION, _MG_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.2", "1.2.840.10008.5.1.4.1.1.1.2.1"
_CR, _DX = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1"
_SECONDARY_CAPTURES = {f"1.2.840.10008.5.1.4.1.1.7{ending}" for ending in ("", ".1", ".2", ".3", ".4")}
_UNSUITABLE_CLASSES = {
    _MG_PROCESSING: "for-processing",
    "1.2.840.10008.5.1.4.1.1.1.1.1": "for-processing",
    **{f"1.2.840.10008.5.1.4.1.1.13.1.{number}": "tomosynthesis" for number in (3, 4, 5)},
    "1.2.840.10008.5.1.4.1.1.66.4": "segmentation",
    "1.2.840.10008.5.1.4.1.1.66.7": "segmentation",
    "1.2.840.10008.5.1.4.1.1.30": "parametric-map",
}
_KINDS = {
    "for-processing": "a For Processing image, raw detector values; send the For Presentation image of the same view",
    "tomosynthesis": "a slice, projection or stack of tomosynthesis; send the two-dimensional image of the same view",
    "segmentation": "a segmentation object, not a mammogram; send the mammogram it belongs to",
    "parametric-map": "a parametric map, not a mammogram; send the mammogram it belongs to",
    "secondary-capture": "a secondary capture, not an acquired mammogram; send the mammogram itself",
    "specimen": "an image of a specimen; send a mammogram",
    "quality-control": "a quality control or calibration image; send a mammogram",
    "other-modality": "not an image of mammography; send a mammogram",
}

_VIEWS = {
    "ML": ("R-10224", "399260004"),
    "MLO": ("R-10226", "399368009"),
    "LM": ("R-10228", "399352003"),
    "LMO": ("R-10230", "399099002"),
    "CC": ("R-10242", "399162004"),
    "FB": ("R-10244", "399196006"),
    "SIO": ("R-102D0", "399188001"),
    "ISO": ("R-40AAA", "441555000"),
    "XCC": (),
    "XCCL": ("R-1024A", "399192008"),
    "XCCM": ("R-1024B", "399101009"),
}
"""View positions with their codes in PS3.16 CID 4014 (SNOMED RT and CT)."""
_VIEW_OF = {code: view for view, codes in _VIEWS.items() for code in (view, *codes)}
_SPECIMEN_CODES = {"G-8310", "127457009"}

_MODIFIERS = {
    "cleavage": ("R-102D2", "399161006"),
    "axillary tail": ("R-102D1", "399011000"),
    "rolled lateral": ("R-102D3", "399197002"),
    "rolled medial": ("R-102D4", "399226006"),
    "rolled inferior": ("R-102CA", "414493004"),
    "rolled superior": ("R-102C9", "415670009"),
    "implant displaced": ("R-102D5", "399209000"),
    "magnification": ("R-102D6", "399163009"),
    "spot compression": ("R-102D7", "399055006"),
    "tangential": ("R-102C2", "399110001"),
    "nipple in profile": ("R-40AB3", "442581004"),
    "anterior compression": ("P2-00161", "441752004"),
    "infra-mammary fold": ("R-40ABE", "442593008"),
    "axillary tissue": ("R-40AB2", "442580003"),
}
"""View modifiers with their codes in PS3.16 CID 4015 (SNOMED RT and CT)."""
MODIFIER_CODES = {name: codes[1] for name, codes in _MODIFIERS.items()}
"""The SNOMED CT code of each modifier."""
_MODIFIER_OF = {code: name for name, codes in _MODIFIERS.items() for code in codes}
_MODIFIER_OF |= {re.sub("[^a-z]", "", name): name for name in _MODIFIERS}

LEAST_MAGNIFICATION = 1.3
"""Of the estimated radiographic magnification: contact views reach 1.1, magnified ones begin at 1.5."""

_VENDORS = {
    "Hologic": "hologic|lorad",
    "GE": r"\bge\b|general electric|gems",
    "Siemens": "siemens",
    "Fujifilm": "fuji",
    "Philips": "philips|sectra",
    "IMS Giotto": r"giotto|\bi\.?m\.?s\b|internazionale medico",
    "Planmed": "planmed",
    "Carestream": "carestream|kodak",
    "Agfa": "agfa",
    "Konica Minolta": "konica|minolta",
    "Canon": "canon|toshiba",
    "Metaltronica": "metaltronica",
    "Fischer": "fischer",
    "Vidar": "vidar",
    "Lumisys": "lumisys",
    "Howtek": "howtek",
}
_WINDOW_NAMES = {"normal", "harder", "softer", "hard", "soft", "high", "low", "medium", "default", "dense", "fatty"}
_WINDOW_NAMES |= {f"{name}{number}" for name in ("window", "window ", "algo", "preset ") for number in range(1, 10)}
_SYNTHESIZED_TYPES = {"GENERATED_2D", "TOMO_2D"}
_TOMOSYNTHESIS_TYPES = {"TOMO", "TOMO_PROJ", "TOMOSYNTHESIS", "TOMO_SLICE", "VOLUME"}
_SUBTRACTED_TYPES = {"RECOMBINED", "SUBTRACTION"}
_SYNTHESIZED_NAMES = re.compile(r"c-?view|s-?view|v-?preview|(intelligent|insight|synthe(tic|si[sz]ed)) ?2d", re.I)


def refuse_unsuitable(elements: Dataset, sop_class: str) -> None:
    """Check that the image is a mammogram for presentation.

    Raises:
        UnsuitableKind: it is not; names the kind.
    """
    kind = _unsuitable(elements, sop_class)
    if kind is not None:
        raise UnsuitableKind(f"the DICOM is {_KINDS[kind]}", kind)


def _unsuitable(elements: Dataset, sop_class: str) -> str | None:
    """Return the key in _KINDS of the image's unsuitable kind, if it has one."""
    types, part, modality = (
        set(texts_of(elements, 0x00080008)),
        _text(elements, 0x00180015),
        _text(elements, 0x00080060),
    )
    captured = sop_class in _SECONDARY_CAPTURES
    applies = {
        "for-processing": _text(elements, 0x00080068) == "FOR PROCESSING",
        "tomosynthesis": bool(types & _TOMOSYNTHESIS_TYPES) and not _is_synthesized(elements),
        "secondary-capture": captured and _text(elements, 0x00080064) != "DF",  # digitized film
        "quality-control": _says_yes(elements, 0x00280300) or _says_yes(elements, 0x00500004) or part == "PHANTOM",
        "specimen": _is_of_specimen(elements),
        "other-modality": not (captured or sop_class in {"", _MG_PRESENTATION, _CR, _DX})
        or modality not in {"", "MG", "CR", "DX", "RG", "OT"}
        or (modality != "MG" and part not in {"", "BREAST"}),
    }
    return _UNSUITABLE_CLASSES.get(sop_class) or next((kind for kind, holds in applies.items() if holds), None)


def _is_of_specimen(elements: Dataset) -> bool:
    described = any(_items(elements, tag) for tag in (0x00400550, 0x00400560))
    viewed = any(code in _SPECIMEN_CODES for code, _ in _codes(elements, 0x00540220))
    return described or viewed or "SPECIMEN" in {_text(elements, 0x00185101), _text(elements, 0x00180015)}


def metadata_of(elements: Dataset, sop_class: str) -> FileMetadata:
    """Return the facts of a header that `refuse_unsuitable` accepted, without windows."""
    modifiers = modifiers_of(elements)
    implant = {"YES": True, "NO": False}.get(_text(elements, 0x00281300))
    return FileMetadata(
        view_modifiers=modifiers,
        acquisition=_acquisition(elements, sop_class),
        vendor=vendor_of(_text(elements, 0x00080070)),
        implant=True if "implant displaced" in (modifiers or ()) else implant,
        notes=tuple(_marks(elements, modifiers or (), implant)),
    )


def vendor_of(manufacturer: str) -> str | None:
    """Return a manufacturer's normalised name, "other" if unlisted, None if empty."""
    if not manufacturer.strip():
        return None
    vendors = (name for name, pattern in _VENDORS.items() if re.search(pattern, manufacturer, re.I))
    return next(vendors, "other")


def laterality_of(elements: Dataset) -> Literal["L", "R"] | None:
    side = _text(elements, 0x00200062) or _text(elements, 0x00200060)
    return "L" if side == "L" else "R" if side == "R" else None


def view_of(elements: Dataset) -> str | None:
    return next(_views(elements), None)


def _views(elements: Dataset) -> Iterator[str]:
    codes = (_text(elements, 0x00185101), *(code for code, _ in _codes(elements, 0x00540220)))
    return (_VIEW_OF[code] for code in codes if code in _VIEW_OF)


def names_of_windows(elements: Dataset) -> list[str | None]:
    """Return the names of a header's windows in order; None if not in common use."""
    names = (name.lower() for name in texts_of(elements, 0x00281055))
    return [name if name in _WINDOW_NAMES else None for name in names]


def modifiers_of(elements: Dataset) -> tuple[str, ...] | None:
    """Return the names of a view's modifiers; None if the header names neither a view nor a modifier."""
    names = []
    views = _items(elements, 0x00540220)
    for code, meaning in (code for holder in (elements, *views) for code in _codes(holder, 0x00540222)):
        name = _MODIFIER_OF.get(code) or _MODIFIER_OF.get(re.sub("[^a-z]", "", meaning.lower()), "other modifier")
        names.append(name)
    if (or_default([], lambda: number_of(elements, 0x00181114), None) or 1) >= LEAST_MAGNIFICATION:
        names.append("magnification")
    if _says_yes(elements, 0x00281350):
        names.append("partial view")
    if not names and view_of(elements) is None:
        return None
    return tuple(dict.fromkeys(names))


def _marks(elements: Dataset, modifiers: tuple[str, ...], implant: bool | None) -> Iterator[str]:
    """Write sentences about marks that a model may not know."""
    if modifiers:
        yield f"According to the file, this is not a standard view: {', '.join(modifiers)}."
    if implant:
        yield "According to the file, an implant is present."
    if _says_yes(elements, 0x00280301):
        yield "According to the file, annotations are burned into its pixels."
    types = set(texts_of(elements, 0x00080008))
    if types & _SUBTRACTED_TYPES or _text(elements, 0x00180010) not in {"", "NO", "NONE"}:
        yield "The file says that a contrast agent was given."
    if any(kind.startswith("STEREO") for kind in types):
        yield "The file says that it is one of a stereo pair, as taken for a biopsy."
    if len(views := dict.fromkeys(_views(elements))) > 1:
        yield f"The file names several views, {' and '.join(views)}; the first counts."
    if {"L", "R"} <= {_text(elements, tag) for tag in (0x00200060, 0x00200062)}:
        yield "The file names both sides, L and R; that of the image counts."


def _acquisition(elements: Dataset, sop_class: str) -> Acquisition | None:
    if _is_synthesized(elements):
        return "synthesized"
    if _text(elements, 0x00080064) == "DF":
        return "film scan"
    return "digital" if sop_class in {_MG_PRESENTATION, _CR, _DX} else None


def _is_synthesized(elements: Dataset) -> bool:
    """Return True if the image was computed from tomosynthesis.

    It is recognised by its Image Type or by a product's name in the series.
    """
    named = _SYNTHESIZED_NAMES.search(_text(elements, 0x0008103E))
    return named is not None or bool(_SYNTHESIZED_TYPES & set(texts_of(elements, 0x00080008)))


def _codes(elements: Dataset, tag: int) -> Iterator[tuple[str, str]]:
    """Return values and meanings of a sequence of codes, whatever their scheme.

    Writers name SRT, SNM3, 99SDM and SCT.
    """
    for item in _items(elements, tag):
        yield _text(item, 0x00080100), _text(item, 0x00080104)


def _items(elements: Dataset, tag: int) -> list[Dataset]:
    items = or_default([], lambda: value_of(elements, tag, MAX_SEQUENCE), None)
    return list(items) if isinstance(items, Sequence) else []


def _says_yes(elements: Dataset, tag: int) -> bool:
    return _text(elements, tag) == "YES"


def _text(elements: Dataset, tag: int) -> str:
    return next(iter(texts_of(elements, tag)), "")


def texts_of(elements: Dataset, tag: int) -> list[str]:
    """Return the values of a text element in capitals, without spaces around them."""
    value: Any = or_default([], lambda: value_of(elements, tag), None)
    values = [value] if value is None or isinstance(value, str) else list(value)
    return [str(each or "").strip().upper() for each in values]
