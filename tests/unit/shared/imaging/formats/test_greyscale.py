"""From stored values to grey levels by the formulas of DICOM PS3.3 C.11.1 and C.11.2."""

import numpy as np
import pytest

from shared.imaging.formats.greyscale import Greyscale, LookupTable, Window, WindowFunction


def counts(bits: int) -> np.ndarray:
    """How often each word of 8 or 16 bits occurs: all values of `bits` once."""
    found = np.zeros(2**8 if bits == 8 else 2**16, np.float32)
    found[: 2**bits] = 1
    return found


class TestLookupTable:
    def test_inputs_beyond_its_ends_take_the_first_and_the_last_value(self) -> None:
        table = LookupTable(10, np.array([5, 6, 9], np.uint16), 8)
        assert table(np.array([-3.0, 10.0, 11.9, 12.0, 99.0])).tolist() == [5, 5, 6, 9, 9]


class TestWindow:
    @pytest.mark.parametrize(
        ("function", "inputs", "expected"),
        [
            # C.11.2.1.2.1: centre 2048 and width 4096 span 0 to 4095
            ("LINEAR", [0, 4095, 2047.5], [0, 1, 0.5]),
            # C.11.2.1.3.2
            ("LINEAR_EXACT", [0, 4096, 2048], [0, 1, 0.5]),
            # C.11.2.1.3.1
            ("SIGMOID", [2048, 2048 + 1024, -(10**9)], [0.5, 1 / (1 + np.exp(-1)), 0]),
        ],
    )
    def test_a_function_is_that_of_the_standard(
        self, function: WindowFunction, inputs: list[float], expected: list[float]
    ) -> None:
        assert Window(2048, 4096, function)(np.array(inputs)) == pytest.approx(expected)

    def test_a_window_one_wide_is_a_threshold(self) -> None:
        assert Window(5, 1)(np.array([4.5, 4.6])).tolist() == [0, 1]
        assert Window(5, 1).line is None

    @pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT"])
    def test_its_line_is_the_function_between_black_and_white(self, function: WindowFunction) -> None:
        window = Window(100, 50, function)
        assert window.line is not None
        slope, intercept = window.line
        inputs = np.array([90.0, 100.0, 110.0])
        assert window(inputs) == pytest.approx(slope * inputs + intercept)

    def test_it_has_as_many_steps_as_stored_values_and_255_at_least(self) -> None:
        assert Window(0, 4096).steps(1) == 4095
        assert Window(0, 4096).steps(0.5) == 8190
        assert Window(0, 10).steps(1) == 255
        assert Window(0, 1e9).steps(1) == 65535


class TestGreyscale:
    def test_bits_above_the_high_bit_are_no_value(self) -> None:
        stored = Greyscale(bits=12, high_bit=11, signed=False, inverted=False).stored(np.array([0xF00F, 0x0FFF]))
        assert stored.tolist() == [0x00F, 0xFFF]

    def test_values_may_stand_in_the_highest_bits(self) -> None:
        assert Greyscale(bits=12, high_bit=15, signed=False, inverted=False).stored(np.array([0xFFF0])).tolist() == [
            0xFFF
        ]

    def test_signed_values_are_two_s_complement(self) -> None:
        stored = Greyscale(bits=12, high_bit=11, signed=True, inverted=False).stored(np.array([0, 0x7FF, 0x800, 0xFFF]))
        assert stored.tolist() == [0, 2047, -2048, -1]

    def test_words_of_a_codec_are_clipped_to_the_highest_value(self) -> None:
        assert Greyscale(bits=12, high_bit=None, signed=False, inverted=False).stored(np.array([5000])).tolist() == [
            4095
        ]


class TestLevels:
    def test_without_a_window_values_are_levels(self) -> None:
        levels = Greyscale(bits=12, high_bit=11, signed=False, inverted=False).levels(counts(12))
        assert levels.bits == 12
        assert levels.table.dtype == np.uint16
        # the darkest thousandth, four of 4096 values, is black
        assert levels.table[[0, 4, 5, 4095]].tolist() == [0, 0, 1, 4091]
        assert levels.line == (1, -4)

    def test_inverted_ones_are_brightest_where_the_values_are_lowest(self) -> None:
        levels = Greyscale(bits=12, high_bit=11, signed=False, inverted=True).levels(counts(12))
        assert levels.table[0] == levels.table.max()
        assert levels.table[4095] == 0

    def test_padding_is_black_and_counts_for_nothing(self) -> None:
        plain = Greyscale(bits=12, high_bit=11, signed=False, inverted=False).levels(counts(12))
        padded = Greyscale(bits=12, high_bit=11, signed=False, inverted=False, padding=(4000, 4095)).levels(counts(12))
        assert not padded.table[4000:4096].any()
        assert padded.table[2000] == plain.table[2000]

    def test_a_window_clips_and_stretches_nothing(self) -> None:
        windowed = Greyscale(bits=12, high_bit=11, signed=False, inverted=False, interest=Window(2048, 1024))
        levels = windowed.levels(counts(12))
        assert levels.table[4095] - levels.table[0] == 1023
        assert levels.table[2048] - levels.table[2047] == 1

    def test_a_slope_below_zero_turns_the_levels(self) -> None:
        levels = Greyscale(bits=12, high_bit=11, signed=False, inverted=False, modality=(-2.0, 100.0)).levels(
            counts(12)
        )
        assert levels.table[0] == levels.table.max()
