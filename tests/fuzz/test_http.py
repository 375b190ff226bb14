"""A short run of hostile requests against the running service; `make fuzz` is the long one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.http import exchange, fuzz
from tests.support.published import KEY
from tests.support.serving import Served, published, running_service


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("served")
    with running_service(published(folder / "store"), folder) as running:
        yield running


class TestHttp:
    def test_hostile_requests_are_answered_or_hung_up_on_and_nothing_leaks(self, served: Served) -> None:
        report = fuzz(served, range(300))
        assert sum(report.statuses.values()) == 300
        assert report.wrong == []
        assert {"400", "422"} <= set(report.statuses), "they get as far as the body, and as far as the image"

    @pytest.mark.parametrize("chunks", [b"zz\r\n", b"-1\r\n\r\n", b"ffffffffffff\r\nx"])
    def test_a_body_whose_chunks_are_none_is_the_client_s_fault(self, served: Served, chunks: bytes) -> None:
        head = (
            "POST /v1/predictions HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {KEY}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        answer = exchange(served.address, head.encode() + chunks)
        assert answer.startswith(b"HTTP/1.1 400")
        assert b"send the request again" in answer
        assert b"Connection: close" in answer
