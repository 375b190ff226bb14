"""Write a DICOM film anew with nothing of its patient in it.

Nothing is copied but pixels and numbers. Every other element is one that the reader looks at, and its value is taken
from the lists of this module or of `dicom_metadata`; what is not on a list is left out. So no text of the file, of a
private element or of an overlay gets any further, wherever somebody wrote a name. Pixels come out as they were.
"""

import re
from collections.abc import Callable

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.valuerep import format_number_as_ds

from shared.digests import sha256_hex
from shared.errors import ImageError, UndecodableImage, UnsuitableKind
from shared.imaging.formats import codecs, codestreams
from shared.imaging.formats.dicom import DEFLATED, NATIVE, DicomFile, frame_of, native_words, parsed
from shared.imaging.formats.dicom_elements import (
    MAX_SEQUENCE,
    numbers_of,
    or_default,
    raw_of,
    value_of,
    whole_of,
)
from shared.imaging.formats.dicom_metadata import (
    MODIFIER_CODES,
    laterality_of,
    metadata_of,
    modifiers_of,
    names_of_windows,
    texts_of,
    view_of,
)
from shared.imaging.formats.dicom_writer import dicom_bytes
from shared.imaging.image import Pixels, check_size, unsigned

_CHOICES: dict[int, frozenset[str]] = {
    0x00080060: frozenset(("MG", "CR", "DX", "RG", "OT")),
    0x00080064: frozenset(("DF", "DV", "DI", "DRW", "SD", "SI", "SYN", "WSD")),
    0x00080068: frozenset(("FOR PRESENTATION",)),
    0x00180015: frozenset(("BREAST",)),
    0x00280301: frozenset(("YES", "NO")),
    0x00281300: frozenset(("YES", "NO")),
    0x00281350: frozenset(("YES", "NO")),
    0x00281056: frozenset(("LINEAR", "LINEAR_EXACT", "SIGMOID")),
}
"""Coded elements and the values that are kept."""
_IMAGE_TYPES = frozenset(("ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", "GENERATED_2D", "TOMO_2D", "STEREO_BIOPSY"))
_IMAGE_TYPES |= {"RECOMBINED", "SUBTRACTION"}
_UIDS = (0x00080018, 0x0020000D, 0x0020000E)  # of instance, study, series
_WHOLE = (0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102, 0x00280103)
_DECIMAL = (0x00280030, 0x00181164, 0x00182010, 0x00181114, 0x00281050, 0x00281051, 0x00281052, 0x00281053)
_STORED = (0x00280120, 0x00280121)
"""Values that are stored as pixels are: padding."""
_LUTS = (0x00283000, 0x00283010)
_JPEG = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81))
_JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 201, 202, 203))
_OTHER, _PARTIAL = "OTHER", "partial view"  # the second is an element of its own
_VENDOR = re.compile(r"[A-Za-z ]+")


def deidentify(data: bytes, patient: str, new_uid: Callable[[str], str], *, burned_in: bool = False) -> bytes:
    """Write a film anew with what its reader needs alone.

    Args:
        patient: pseudonym that becomes the Patient ID.
        new_uid: returns the UID in place of another one.
        burned_in: take films that say that annotations are burned into their pixels.

    Returns:
        A DICOM file that decodes to the same pixels, depth, side, view, spacing and acquisition.

    Raises:
        ImageError: the film can't be read, or annotations are burned into it.
    """
    try:
        file = parsed(data, _UIDS)
        return _written(file, patient, new_uid, burned_in=burned_in)
    except (ImageError, MemoryError):
        raise
    except Exception:  # noqa: BLE001  pydicom raises whatever it stumbles over, and quotes the file in it
        raise UndecodableImage("the DICOM is truncated or corrupt; send the file again") from None


def _written(file: DicomFile, patient: str, new_uid: Callable[[str], str], *, burned_in: bool) -> bytes:
    elements = file.elements
    if texts_of(elements, 0x00280301)[:1] == ["YES"] and not burned_in:
        raise UnsuitableKind("annotations are burned into the film's pixels; remove them first", "burned-in-annotation")
    kept = Dataset()
    kept.SOPClassUID = file.sop_class if uid.UID(file.sop_class).name != file.sop_class else ""
    for tag in _UIDS:
        original = or_default([], lambda tag=tag: value_of(elements, tag), None)  # type: ignore[misc]
        kept.add_new(tag, "UI", new_uid(str(original or sha256_hex(file.reader.getvalue()))))
    kept.PatientName, kept.PatientID, kept.PatientIdentityRemoved = "", patient, "YES"
    _add_codes(kept, elements, file.sop_class)
    _add_numbers(kept, file)
    syntax = file.syntax
    if syntax in NATIVE:
        kept.PixelData = _native_pixels(file)
        kept["PixelData"].VR = "OB" if whole_of(elements, 0x00280100) == 8 else "OW"
        syntax = uid.ExplicitVRLittleEndian if syntax in {DEFLATED, uid.ImplicitVRLittleEndian} else syntax
    else:
        kept.PixelData = encapsulate([_compressed_pixels(file)])
        kept["PixelData"].VR = "OB"
    return dicom_bytes(kept, syntax)


def _add_codes(kept: Dataset, elements: Dataset, sop_class: str) -> None:
    for tag, choices in _CHOICES.items():
        if (said := next(iter(texts_of(elements, tag)), "")) in choices:
            kept.add_new(tag, "CS", said)
    facts = metadata_of(elements, sop_class)
    types = [text for text in texts_of(elements, 0x00080008) if text in _IMAGE_TYPES]
    synthesized = facts.acquisition == "synthesized" and not {"GENERATED_2D", "TOMO_2D"} & set(types)
    if types or synthesized:  # a product's name in the series says so as well, and is not kept
        kept.ImageType = types + ["GENERATED_2D"] * synthesized
    if facts.vendor and _VENDOR.fullmatch(facts.vendor):
        kept.Manufacturer = facts.vendor
    if side := laterality_of(elements):
        kept.ImageLaterality = side
    if view := view_of(elements):
        kept.ViewPosition = view
    modifiers = [_code(MODIFIER_CODES.get(name, _OTHER)) for name in modifiers_of(elements) or () if name != _PARTIAL]
    if modifiers:
        holder = Dataset()
        holder.ViewModifierCodeSequence = Sequence(modifiers)
        kept.ViewCodeSequence = Sequence([holder])
    if next(iter(texts_of(elements, 0x00180010)), "") not in {"", "NO", "NONE"}:
        kept.ContrastBolusAgent = "YES"


def _code(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = value, "SCT"
    return item


def _add_numbers(kept: Dataset, file: DicomFile) -> None:
    elements = file.elements
    kept.SamplesPerPixel = 1
    kept.PhotometricInterpretation = str(value_of(elements, 0x00280004) or "").strip().upper()
    for tag in _WHOLE:
        if tag in elements:
            kept.add_new(tag, "US", whole_of(elements, tag))
    for tag in _DECIMAL:
        values = or_default([], lambda tag=tag: numbers_of(elements, tag), None)  # type: ignore[misc]
        if values is not None:
            kept.add_new(tag, "DS", [format_number_as_ds(value) for value in values])
    for tag in _STORED:
        raw = or_default([], lambda tag=tag: raw_of(elements, tag), b"") if tag in elements else b""  # type: ignore[misc]
        if len(raw) >= 2:
            kept.add_new(tag, "US", int.from_bytes(raw[:2], "little" if file.order == "<" else "big"))
    if names := names_of_windows(elements):
        kept.WindowCenterWidthExplanation = [name or "" for name in names]
    for tag in _LUTS:
        items = or_default([], lambda tag=tag: value_of(elements, tag, MAX_SEQUENCE), None)  # type: ignore[misc]
        if items:
            kept.add_new(tag, "SQ", Sequence([_lut(items[0], file)]))


def _lut(item: Dataset, file: DicomFile) -> Dataset:
    """Copy the numbers of a look-up table, in the byte order of the file that is written."""
    kept = Dataset()
    if 0x00283002 in item:
        words = np.frombuffer(raw_of(item, 0x00283002)[:6], f"{file.order}u2")
        kept.add_new(0x00283002, "US", [int(word) for word in words])
    if 0x00283006 in item:
        kept.add_new(0x00283006, "OW", raw_of(item, 0x00283006, MAX_SEQUENCE))
    return kept


def _native_pixels(file: DicomFile) -> bytes:
    """Return uncompressed pixels, with nothing around or behind them."""
    words = _cleared(native_words(file), file)
    data = words.astype(words.dtype.newbyteorder(file.order)).tobytes()
    return data + bytes(len(data) % 2)


def _cleared(words: Pixels, file: DicomFile) -> Pixels:
    """Return words (H x W) without the bits around their values (above them an overlay, once)."""
    bits = 8 * words.itemsize
    stored = whole_of(file.elements, 0x00280101, bits)
    high = whole_of(file.elements, 0x00280102, stored - 1)
    if stored < bits and whole_of(file.elements, 0x00280103, 0) == 0:
        return words & words.dtype.type(((1 << stored) - 1) << (high + 1 - stored))
    if stored < bits:  # the bits above signed pixels repeat their sign
        signed = words.astype(f"i{words.itemsize}") << (bits - 1 - high)
        return unsigned((signed >> (bits - stored)) << (high + 1 - stored))
    return words


def _compressed_pixels(file: DicomFile) -> bytes:
    """Return a compressed frame with nothing in it that its decoder does not read.

    JPEG and JPEG 2000 lose the segments in which a writer notes something. Run lengths have no markers that tell such
    notes from packed rows, so their pixels are packed anew.
    """
    frame, syntax = frame_of(file), file.syntax
    if syntax in _JPEG:
        codestreams.jpeg(frame)  # raises for what the next function can't read
        return codestreams.jpeg_without_texts(frame)
    if syntax in _JPEG_2000:
        codestreams.jpeg_2000(frame)
        return codestreams.jpeg_2000_without_texts(frame)
    size = whole_of(file.elements, 0x00280011), whole_of(file.elements, 0x00280010)
    check_size(*size)
    words, _ = codecs.run_lengths(frame, size, whole_of(file.elements, 0x00280100), None)
    return codecs.encode_run_lengths(_cleared(words, file))
