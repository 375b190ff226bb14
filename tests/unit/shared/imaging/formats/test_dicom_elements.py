"""Values of a DICOM header: what they are read as, and what is refused by its name and without its value."""

from typing import Any

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from shared.imaging.formats.dicom_elements import (
    MAX_VALUE,
    EmptyElement,
    InvalidElement,
    number_of,
    numbers_of,
    or_default,
    raw_of,
    spacing_of,
    stored_value,
    value_of,
    whole_of,
)

ROWS, CENTRE, PIXEL_SPACING, IMAGER_SPACING = 0x00280010, 0x00281050, 0x00280030, 0x00181164
SMALLEST = 0x00280106


def elements(**values: Any) -> Dataset:
    """Elements by their keyword, as pydicom converts them."""
    found = Dataset()
    for keyword, value in values.items():
        setattr(found, keyword, value)
    return found


def raw(tag: int, vr: str, value: bytes) -> Dataset:
    """One element as a file holds it, unread."""
    found = Dataset()
    found[tag] = RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)
    return found


class TestValueOf:
    def test_an_element_that_is_absent_has_none(self) -> None:
        assert value_of(Dataset(), ROWS) is None

    def test_a_value_is_converted(self) -> None:
        assert value_of(raw(ROWS, "US", b"\x00\x02"), ROWS) == 512

    def test_a_value_that_is_too_long_is_refused_by_its_name(self) -> None:
        with pytest.raises(
            InvalidElement, match=r"WindowCenter \(0028,1050\) is empty or not valid; send the file again"
        ):
            value_of(raw(CENTRE, "DS", b"1" * (MAX_VALUE + 2)), CENTRE)

    def test_what_pydicom_can_not_convert_is_refused_without_its_value(self) -> None:
        with pytest.raises(InvalidElement) as refusal:
            value_of(raw(ROWS, "US", b"abc"), ROWS)
        assert "abc" not in str(refusal.value)
        assert refusal.value.element == "Rows (0028,0010)"


class TestRawOf:
    def test_bytes_are_as_in_the_file(self) -> None:
        assert raw_of(raw(SMALLEST, "US", b"\x01\x02"), SMALLEST) == b"\x01\x02"
        assert raw_of(Dataset(), SMALLEST) == b""

    def test_more_bytes_than_asked_for_are_refused(self) -> None:
        with pytest.raises(InvalidElement):
            raw_of(raw(SMALLEST, "US", b"\0" * 10), SMALLEST, most=8)


class TestNumbers:
    def test_the_first_of_several_counts(self) -> None:
        assert number_of(elements(WindowCenter=[40.5, 7]), CENTRE) == 40.5
        assert numbers_of(elements(WindowCenter=[40.5, 7]), CENTRE) == [40.5, 7]

    def test_an_absent_one_is_none_and_an_empty_one_is_told_as_empty(self) -> None:
        assert number_of(Dataset(), CENTRE) is None
        with pytest.raises(EmptyElement):
            number_of(elements(WindowCenter=None), CENTRE)

    @pytest.mark.parametrize("value", [b"abc ", b"nan ", b"inf ", b"1\\nan "])
    def test_what_is_no_finite_number_is_refused(self, value: bytes) -> None:
        with pytest.raises(InvalidElement) as refusal:
            numbers_of(raw(CENTRE, "DS", value), CENTRE)
        assert not isinstance(refusal.value, EmptyElement)

    def test_a_whole_number_has_a_default(self) -> None:
        assert whole_of(Dataset(), ROWS, 7) == 7
        assert whole_of(elements(Rows=512), ROWS) == 512
        with pytest.raises(InvalidElement):
            whole_of(elements(Rows=[1, 2]), ROWS)


class TestStoredValue:
    @pytest.mark.parametrize(("order", "signed", "value"), [("<", False, 65280), ("<", True, -256), (">", False, 255)])
    def test_it_is_read_as_a_pixel_is(self, order: str, signed: bool, value: int) -> None:
        assert stored_value(raw(SMALLEST, "US", b"\x00\xff"), SMALLEST, order, signed) == value

    def test_half_a_word_is_refused(self) -> None:
        assert stored_value(Dataset(), SMALLEST, "<", signed=False) is None
        with pytest.raises(InvalidElement):
            stored_value(raw(SMALLEST, "US", b"\x01"), SMALLEST, "<", signed=False)


class TestSpacingOf:
    def test_that_of_the_pixels_goes_before_that_at_the_imager(self) -> None:
        notes: list[str] = []
        both = elements(PixelSpacing=[0.05, 0.06], ImagerPixelSpacing=[0.1, 0.1])
        assert spacing_of(both, notes) == (0.05, 0.06)
        assert spacing_of(elements(ImagerPixelSpacing=[0.1, 0.2]), notes) == (0.1, 0.2)
        assert spacing_of(Dataset(), notes) is None
        assert notes == []

    @pytest.mark.parametrize("pair", [[0.05], [0, 0.05], [0.05, 100], [-1, 1]])
    def test_one_that_can_not_be_is_noted_and_the_next_taken(self, pair: list[float]) -> None:
        notes: list[str] = []
        assert spacing_of(elements(PixelSpacing=pair, ImagerPixelSpacing=[0.1, 0.1]), notes) == (0.1, 0.1)
        assert notes == ["PixelSpacing (0028,0030) is empty or not valid and was ignored."]


class TestOrDefault:
    def test_only_the_kind_that_is_named_is_ignored(self) -> None:
        def odd() -> int:
            raise InvalidElement(ROWS)

        notes: list[str] = []
        assert or_default(notes, odd, 7) == 7
        assert notes == ["Rows (0028,0010) is empty or not valid and was ignored."]
        with pytest.raises(InvalidElement):
            or_default(notes, odd, 7, EmptyElement)
