"""Logs: one JSON object a line on standard error, with what was given as extra and what went wrong."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.logs import configure_logs

log = logging.getLogger("mammostack.test")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


class TestConfigureLogs:
    def test_a_record_is_one_object_with_time_level_logger_and_message(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure_logs("INFO")
        log.info("unit %s", "done")
        (entry,) = lines(capsys)
        when = datetime.fromisoformat(entry.pop("time"))
        assert timedelta() <= datetime.now(UTC) - when < timedelta(seconds=10)
        assert entry == {"level": "INFO", "logger": "mammostack.test", "message": "unit done"}

    def test_extras_stand_beside_the_message(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logs("INFO")
        log.info("unit done", extra={"run": "r1", "stage": "augment", "seconds": 0.25, "attempt": 1})
        (entry,) = lines(capsys)
        assert entry["run"] == "r1"
        assert entry["stage"] == "augment"
        assert (entry["seconds"], entry["attempt"]) == (0.25, 1)

    def test_an_extra_that_json_does_not_know_becomes_text(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logs("INFO")
        log.info("stored", extra={"path": Path("/store/raw")})
        assert lines(capsys)[0]["path"] == "/store/raw"

    def test_an_exception_is_told_in_the_same_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logs("INFO")
        try:
            raise ValueError("a film\nof two lines")
        except ValueError:
            log.exception("unit failed", extra={"run": "r1"})
        (entry,) = lines(capsys)
        assert (entry["level"], entry["message"], entry["run"]) == ("ERROR", "unit failed", "r1")
        assert entry["exception"].startswith("Traceback")
        assert entry["exception"].endswith("ValueError: a film\nof two lines")

    def test_without_an_exception_there_is_no_such_field(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logs("INFO")
        log.warning("unit failed", exc_info=False)
        assert "exception" not in lines(capsys)[0]

    def test_a_message_of_several_lines_stays_one_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logs("INFO")
        log.info("one\ntwo\u2028three “four”")
        (entry,) = lines(capsys)
        assert entry["message"] == "one\ntwo\u2028three “four”"

    @pytest.mark.parametrize(("level", "shown"), [("DEBUG", 3), ("INFO", 2), ("WARNING", 1), ("ERROR", 0)])
    def test_the_level_decides_what_is_shown(self, capsys: pytest.CaptureFixture[str], level: str, shown: int) -> None:
        configure_logs(level)
        log.debug("d")
        log.info("i")
        log.warning("w")
        assert len(lines(capsys)) == shown

    def test_libraries_that_talk_much_are_only_heard_when_they_warn(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logs("DEBUG")
        logging.getLogger("botocore.endpoint").debug("headers with a signature")
        logging.getLogger("botocore.endpoint").warning("retrying")
        assert [entry["message"] for entry in lines(capsys)] == ["retrying"]

    def test_configuring_twice_does_not_double_the_lines(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logs("INFO")
        configure_logs("INFO")
        log.info("once")
        assert len(lines(capsys)) == 1
