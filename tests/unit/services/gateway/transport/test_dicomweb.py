"""DICOMweb as a client, of archives on loopback: what is listed, and what an archive that breaks off is taken for."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask, Response
from werkzeug.serving import BaseWSGIServer, make_server

from services.gateway.films import read_header
from services.gateway.interfaces import ListedInstance
from services.gateway.local_archive import LocalArchive, serving
from services.gateway.transport.dicomweb import Access, DicomWeb
from services.gateway.transport.multipart import body_of
from shared.errors import ServiceUnavailable
from tests.support.gateway import PATIENT, changed, four_films

pytestmark = pytest.mark.external
FILMS = four_films()


@contextmanager
def served(server: BaseWSGIServer, timeout_s: float = 5) -> Iterator[DicomWeb]:
    """Yield a client of a server that runs meanwhile."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield DicomWeb("archive", Access(f"http://127.0.0.1:{server.port}", timeout_s=timeout_s), lookback_days=2)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class TestDicomWeb:
    def test_studies_are_listed_from_the_days_before_a_time(self, tmp_path: Path) -> None:
        LocalArchive(tmp_path).add(changed(FILMS[0], StudyDate="20200110"))
        with served(serving(tmp_path)) as archive:
            times = [None, datetime(2020, 1, 13, tzinfo=UTC), datetime(2020, 1, 12, tzinfo=UTC)]
            listed = [[study.study_uid for study in archive.recent_studies(time)] for time in times]
        assert listed == [[], [], [PATIENT.study_uid]]

    @pytest.mark.parametrize(("sent", "claimed"), [(0, 1), (1000, 2000)])
    def test_archive_that_breaks_off_in_a_film_is_away(self, sent: int, claimed: int) -> None:
        body = b"".join(body_of([FILMS[0]], b"line"))[:sent]
        app = Flask(__name__)

        @app.get("/studies/<path:_film>")
        def retrieve(_film: str) -> Response:
            headers = {"Content-Length": str(claimed), "Content-Type": "multipart/related; boundary=line"}
            return Response(iter([body]), headers=headers)

        header = read_header(FILMS[0])
        film = ListedInstance(header.sop_class, header.sop_uid, header.series_uid)
        with (
            served(make_server("127.0.0.1", 0, app)) as archive,
            pytest.raises(ServiceUnavailable, match="no whole film"),
        ):
            archive.fetch(header.study_uid, film)

    def test_archive_that_stalls_in_a_film_is_away(self) -> None:
        app, stalled = Flask(__name__), threading.Event()

        @app.get("/studies/<path:_film>")
        def retrieve(_film: str) -> Response:
            def stall() -> Iterator[bytes]:
                yield b"--line\r\n"
                stalled.wait(30)

            return Response(stall(), content_type="multipart/related; boundary=line")

        header = read_header(FILMS[0])
        film = ListedInstance(header.sop_class, header.sop_uid, header.series_uid)
        with served(make_server("127.0.0.1", 0, app), timeout_s=0.2) as archive:
            try:
                with pytest.raises(ServiceUnavailable, match="no whole film"):
                    archive.fetch(header.study_uid, film)
            finally:
                stalled.set()
