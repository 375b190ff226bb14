"""Look up values of a DICOM header: numbers, raw values, spacing. No error quotes one.

An element without a valid value raises InvalidElement, which names it; `or_default` makes a note of it where the image
can be read without the element.
"""

import math
import struct
from collections.abc import Callable
from typing import Any, TypeVar

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from shared.errors import UndecodableImage

T = TypeVar("T")

MAX_VALUE = 4096
"""Bytes of a value that is not a table."""
MAX_SEQUENCE = 2**20
"""Bytes of a sequence, such as one of several look-up tables."""


class InvalidElement(UndecodableImage):
    """An element is empty, too long, or not of its kind."""

    def __init__(self, tag: int) -> None:
        self.element = f"{keyword_for_tag(tag)} ({tag >> 16:04X},{tag & 0xFFFF:04X})"
        super().__init__(f"the DICOM's {self.element} is empty or not valid; send the file again, or as PNG")


class EmptyElement(InvalidElement):
    """An element is there and empty, which some readers treat as absent."""


def or_default(notes: list[str], read: Callable[[], T], otherwise: T, kind: type[InvalidElement] = InvalidElement) -> T:
    """Return the result of `read`, or note its invalid element and return `otherwise`.

    Other kinds of error than `kind` pass.
    """
    try:
        return read()
    except kind as error:
        notes.append(f"{error.element} is empty or not valid and was ignored.")
        return otherwise


def value_of(elements: Dataset, tag: int, most: int = MAX_VALUE) -> Any:
    """Return an element's value as pydicom converts it; None if absent or empty.

    Raises:
        InvalidElement: it is longer than `most` bytes, or not of its type.
    """
    if tag not in elements:
        return None
    item = elements.get_item(tag)
    if isinstance(item.value, bytes) and len(item.value) > most:
        raise InvalidElement(tag)
    try:
        return elements[tag].value
    except Exception:  # noqa: BLE001  pydicom raises whatever it stumbles over, and quotes the file in it
        raise InvalidElement(tag) from None


def raw_of(elements: Dataset, tag: int, most: int = MAX_VALUE) -> bytes:
    """Return the bytes of an element.

    Raises:
        InvalidElement: it has more than `most` bytes, or is a sequence.
    """
    item = elements.get_item(tag)
    value = item.value if item is not None else b""
    if not isinstance(value, bytes) or len(value) > most:
        raise InvalidElement(tag)
    return value


def whole_of(elements: Dataset, tag: int, default: int = 0) -> int:
    """Return a whole number, `default` if the element is absent or empty.

    Raises:
        InvalidElement: it is not a whole number.
    """
    value = value_of(elements, tag)
    try:
        return default if value is None or value == "" else int(value)
    except (TypeError, ValueError):
        raise InvalidElement(tag) from None


def number_of(elements: Dataset, tag: int) -> float | None:
    """Return the first value of an element of decimal strings, None if absent.

    Raises:
        InvalidElement: see `numbers_of`.
    """
    values = numbers_of(elements, tag)
    return None if values is None else values[0]


def numbers_of(elements: Dataset, tag: int) -> list[float] | None:
    """Return the finite values of an element of decimal strings, None if absent.

    Raises:
        EmptyElement: it has no value.
        InvalidElement: a value is not a finite number.
    """
    if tag not in elements:
        return None
    value = value_of(elements, tag)
    if value is None or value == "":
        raise EmptyElement(tag)
    values: list[Any] = [value] if isinstance(value, str | int | float) else list(value)
    try:
        numbers = [float(each) for each in values]
    except (TypeError, ValueError):
        raise InvalidElement(tag) from None
    if not numbers or not all(map(math.isfinite, numbers)):
        raise InvalidElement(tag)
    return numbers


def stored_value(elements: Dataset, tag: int, order: str, signed: bool) -> int | None:
    """Return a value that is stored as a pixel is, with the sign of the pixels."""
    if tag not in elements:
        return None
    raw = raw_of(elements, tag)
    if len(raw) < 2:
        raise InvalidElement(tag)
    return int(struct.unpack(order + ("h" if signed else "H"), raw[:2])[0])


def spacing_of(elements: Dataset, notes: list[str]) -> tuple[float, float] | None:
    """Return the spacing of rows and of columns in millimetres, None if unknown.

    It is Pixel Spacing, else that at the imager, else that of the scanner.
    """
    for tag in (0x00280030, 0x00181164, 0x00182010):
        spacing = or_default(notes, lambda tag=tag: _pair(elements, tag), None)  # type: ignore[misc]
        if spacing is not None:
            return spacing
    return None


def _pair(elements: Dataset, tag: int) -> tuple[float, float] | None:
    values = numbers_of(elements, tag)
    if values is None:
        return None
    if len(values) != 2 or not all(0 < value < 100 for value in values):
        raise InvalidElement(tag)
    return values[0], values[1]
