"""Looks up what `dicom.py` wants of a file's elements: numbers, raw values, and how the film was taken.

No value that is not a number or one of a short list of codes leaves this module, and no error quotes one.
"""

import math
import struct
from typing import Any

from pydicom.dataset import Dataset

from shared.errors import UndecodableImage

MAX_VALUE = 4096
"""Bytes of a value that is not a table."""
MAX_SEQUENCE = 2**20
"""Bytes of a sequence, such as one of several look-up tables."""


def spacing_of(elements: Dataset) -> tuple[float, float] | None:
    """Pixel Spacing, else that at the imager or of the scanner."""
    for tag in (0x00280030, 0x00181164, 0x00182010):
        values = value_of(elements, tag)
        if values is not None and not isinstance(values, str) and len(values) == 2:
            row, column = (float(value) for value in values)
            if 0 < row < 100 and 0 < column < 100:
                return row, column
    return None


def whole_of(elements: Dataset, tag: int, default: int = 0) -> int:
    value = value_of(elements, tag)
    return default if value is None or value == "" else int(value)


def number_of(elements: Dataset, tag: int, default: float) -> float:
    """The first value of an element of decimal strings."""
    value = value_of(elements, tag)
    if value is not None and not isinstance(value, str | int | float):
        value = value[0] if len(value) else None
    number = default if value is None or value == "" else float(value)
    if not math.isfinite(number) and not math.isnan(default):
        raise UndecodableImage("a number of the DICOM is none; send the file again")
    return number


def stored_value(elements: Dataset, tag: int, order: str, signed: bool) -> int | None:
    """A value that is stored like a pixel: its sign is the pixels', whatever its own element says."""
    if tag not in elements:
        return None
    raw = raw_of(elements, tag)
    return int(struct.unpack(order + ("h" if signed else "H"), raw[:2])[0]) if len(raw) >= 2 else None


def value_of(elements: Dataset, tag: int, most: int = MAX_VALUE) -> Any:
    """An element's value as pydicom converts it, None where it is absent or empty."""
    if tag not in elements:
        return None
    item = elements.get_item(tag)
    if isinstance(item.value, bytes) and len(item.value) > most:
        raise UndecodableImage("a value of the DICOM's header is too long; send the file again")
    return elements[tag].value


def raw_of(elements: Dataset, tag: int, most: int = MAX_VALUE) -> bytes:
    """An element's value as it stands in the file."""
    item = elements.get_item(tag)
    value = item.value if item is not None else b""
    if not isinstance(value, bytes) or len(value) > most:
        raise UndecodableImage("a value of the DICOM's header is not as it should be; send the file again")
    return value
