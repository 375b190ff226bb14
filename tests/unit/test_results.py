"""The results of benchmarks: one section a command, of which the latest stays."""

from pathlib import Path

import pytest

from tests.bench.results import record


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
