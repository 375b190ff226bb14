"""A short run of the fuzzer over every format; `python -m tests.fuzz.images` is the long one."""

import pytest

from tests.fuzz.images import corpus, fuzz


class TestImages:
    @pytest.mark.parametrize("name", corpus())
    def test_damaged_files_are_read_or_refused(self, name: str) -> None:
        report = fuzz(name, range(150))
        assert report.executions == 150
        assert report.wrong == []
        assert report.grown_mb < 300
