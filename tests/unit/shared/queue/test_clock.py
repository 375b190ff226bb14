"""The time as it is stored: to the second, in UTC."""

import re
from datetime import UTC, datetime, timedelta

from shared.queue.clock import now


class TestNow:
    def test_it_is_iso_8601_to_the_second_in_utc(self) -> None:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", now())

    def test_it_is_the_time(self) -> None:
        before = datetime.now(UTC).replace(microsecond=0)
        assert before <= datetime.fromisoformat(now()) <= before + timedelta(minutes=5)
