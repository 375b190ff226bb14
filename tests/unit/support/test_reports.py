"""Reports that hold lone surrogates reach pytest-xdist's main process."""

import execnet
import pytest

from tests.support.reports import without_surrogates

REPORT = {"nodeid": "test_x[\udcff]", "sections": [("log", "film \ud800")], "longrepr": None, "duration": 0.5}


class TestWithoutSurrogates:
    def test_a_report_can_be_sent_once_its_surrogates_are_escaped(self) -> None:
        with pytest.raises(execnet.DumpError):
            execnet.dumps(REPORT)
        sent = execnet.loads(execnet.dumps(without_surrogates(REPORT)))
        assert sent == {**REPORT, "nodeid": "test_x[\\udcff]", "sections": [("log", "film \\ud800")]}

    def test_other_texts_stay_as_they_are(self) -> None:
        assert without_surrogates(["Größe", b"\xff", 1]) == ["Größe", b"\xff", 1]
