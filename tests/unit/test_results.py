"""The results of benchmarks: one section a command, of which the latest stays."""

import sys
from pathlib import Path

import pytest

from tests.bench.results import FALLS_SHORT, record, shown


class TestResults:
    @pytest.mark.external
    def test_a_section_is_replaced_and_the_others_stay(self, tmp_path: Path) -> None:
        results = tmp_path / "benchmarks" / "RESULTS.md"
        record("make bench-a", "first table\n", results)
        record("make bench-b ONLY=x", "another\n", results)
        record("make bench-a", "second table\n", results)
        text = results.read_text()
        assert "first table" not in text
        assert text.index("## `make bench-a`") < text.index("second table") < text.index("## `make bench-b ONLY=x`")
        assert text.index("## `make bench-b ONLY=x`") < text.index("another")
        assert text.count("```") == 4
        assert text.startswith("# Benchmark results\n")


@pytest.mark.external
class TestShown:
    @pytest.mark.parametrize("status", [0, FALLS_SHORT])
    def test_what_a_benchmark_prints_is_returned_also_if_it_falls_short(self, status: int) -> None:
        assert shown([sys.executable, "-c", f"print('a table'); raise SystemExit({status})"]) == "a table\n"

    def test_a_benchmark_that_fails_ends_the_command_with_its_status(self) -> None:
        with pytest.raises(SystemExit) as ended:
            shown([sys.executable, "-c", "raise SystemExit(1)"])
        assert ended.value.code == 1
