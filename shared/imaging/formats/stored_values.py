"""Read from a DICOM header how stored values become grey levels (PS3.3 C.11)."""

import struct
from typing import Literal

import numpy as np
from pydicom.dataset import Dataset

from shared.errors import UndecodableImage
from shared.imaging.formats.dicom_elements import (
    MAX_SEQUENCE,
    EmptyElement,
    InvalidElement,
    number_of,
    numbers_of,
    or_default,
    raw_of,
    stored_value,
    value_of,
    whole_of,
)
from shared.imaging.formats.dicom_metadata import names_of_windows
from shared.imaging.formats.greyscale import GreyLevels, Greyscale, LookupTable, Window
from shared.imaging.image import WindowPreset

_PIXEL_SIGN, _PADDING, _PADDING_END = 0x00280103, 0x00280120, 0x00280121
_CENTRE, _WIDTH, _INTERCEPT, _SLOPE = 0x00281050, 0x00281051, 0x00281052, 0x00281053
_NAMES, _FUNCTION = 0x00281055, 0x00281056
_MODALITY_LUTS, _DESCRIPTOR, _DATA, _INTEREST_LUTS = 0x00283000, 0x00283002, 0x00283006, 0x00283010
TAGS = [
    *(_PIXEL_SIGN, _PADDING, _PADDING_END, _CENTRE, _WIDTH, _INTERCEPT, _SLOPE, _NAMES, _FUNCTION),
    *(_MODALITY_LUTS, _INTEREST_LUTS),
]
"""Elements that this module reads."""

_Order = Literal["<", ">"]


def greyscale_of(
    elements: Dataset, order: _Order, notes: list[str], *, bits: int, high_bit: int | None, inverted: bool
) -> Greyscale:
    """Return the meaning of the stored values that a header declares.

    Optional elements that are empty or invalid are passed over with a note.

    Args:
        elements: the header.
        order: byte order of values that are stored as pixels are.
        notes: sentences for the reader; grows.
        bits: bits stored.
        high_bit: the highest of them in a word; None for the values of a codec.
        inverted: the lowest value is white.

    Raises:
        UndecodableImage: rescale values or a modality look-up table are there and not valid.
    """
    signed = whole_of(elements, _PIXEL_SIGN, 0) == 1
    modality = or_default(notes, lambda: _lut(elements, _MODALITY_LUTS, order, signed, notes), None, EmptyElement)
    slope, intercept = (
        or_default(notes, lambda tag=tag: number_of(elements, tag), None, EmptyElement)  # type: ignore[misc]
        for tag in (_SLOPE, _INTERCEPT)
    )
    if slope == 0:
        raise UndecodableImage("the DICOM's rescale slope is 0; send the file again")
    slope, intercept = slope or 1.0, intercept or 0.0
    below_zero = modality is None and (slope < 0 or intercept < 0 or signed)
    padding = or_default(notes, lambda: stored_value(elements, _PADDING, order, signed), None)
    end = or_default(notes, lambda: stored_value(elements, _PADDING_END, order, signed), None)
    interest = or_default(notes, lambda: _lut(elements, _INTEREST_LUTS, order, below_zero, notes), None)
    return Greyscale(
        bits=bits,
        high_bit=high_bit,
        signed=signed,
        inverted=inverted,
        modality=modality or (slope, intercept),
        interest=interest or or_default(notes, lambda: _window(elements), None),
        padding=None if padding is None else _ordered(padding, padding if end is None else end),
    )


def presets_of(elements: Dataset, levels: GreyLevels) -> tuple[WindowPreset, ...]:
    """Return the windows of a header in grey levels; none where a curve made those."""

    def read(tag: int) -> list[float]:
        return or_default([], lambda: numbers_of(elements, tag), None) or []

    if levels.line is None:
        return ()
    slope, intercept = levels.line
    names = names_of_windows(elements)
    pairs = zip(read(_CENTRE), read(_WIDTH), strict=False)
    return tuple(
        WindowPreset(names[index] if index < len(names) else None, slope * centre + intercept, abs(slope) * width)
        for index, (centre, width) in enumerate(pairs)
        if width > 0
    )


def _window(elements: Dataset) -> Window | None:
    """Return the first window, if PS3.3 allows it; others are alternatives to it."""
    centre, width = number_of(elements, _CENTRE), number_of(elements, _WIDTH)
    if centre is None or width is None:
        return None
    function = str(value_of(elements, _FUNCTION) or "LINEAR")
    if width <= 0 or (width < 1 and function not in {"SIGMOID", "LINEAR_EXACT"}):
        raise InvalidElement(_WIDTH)
    if function in {"SIGMOID", "LINEAR_EXACT"}:
        return Window(centre, width, "SIGMOID" if function == "SIGMOID" else "LINEAR_EXACT")
    return Window(centre, width)


def _lut(elements: Dataset, tag: int, order: _Order, signed: bool, notes: list[str]) -> LookupTable | None:
    """Return the first item of a sequence of look-up tables (PS3.3 C.11.1.1.1).

    Raises:
        InvalidElement: the table is not valid.
        EmptyElement: the item has no elements.
    """
    items = value_of(elements, tag, MAX_SEQUENCE)
    if not items:
        return None
    if not items[0]:
        raise EmptyElement(tag)
    descriptor = raw_of(items[0], _DESCRIPTOR)
    data = raw_of(items[0], _DATA, MAX_SEQUENCE)
    if len(descriptor) < 6:
        raise InvalidElement(tag)
    entries, first, bits = struct.unpack(order + ("HhH" if signed else "HHH"), descriptor[:6])
    entries = entries or 2**16
    # Tables of 8 bits stand in bytes or in words; of more, in words, of which some writers leave out the last.
    in_words = bits > 8 or len(data) >= 2 * entries
    values = np.frombuffer(data[: len(data) // 2 * 2] if in_words else data, f"{order}u{1 + in_words}")[:entries]
    if not 8 <= bits <= 16 or not entries - in_words <= len(values) or not len(values):
        raise InvalidElement(tag)
    if len(values) < entries:
        notes.append("A look-up table lacks its last entry; the previous entry is used instead.")
    return LookupTable(first, np.minimum(values.astype(np.uint16), 2**bits - 1), bits)


def _ordered(one: int, other: int) -> tuple[int, int]:
    return min(one, other), max(one, other)
