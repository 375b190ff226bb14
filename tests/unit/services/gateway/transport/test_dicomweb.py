"""DICOMweb as a client, of archives on loopback: what is listed, and what an archive that breaks off is taken for."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from werkzeug.serving import BaseWSGIServer

from services.gateway.local_archive import LocalArchive, serving
from services.gateway.transport.dicomweb import Access, DicomWeb
from tests.support.gateway import PATIENT, changed, four_films

pytestmark = pytest.mark.external
FILMS = four_films()


@contextmanager
def served(server: BaseWSGIServer) -> Iterator[DicomWeb]:
    """Yield a client of a server that runs meanwhile."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield DicomWeb("archive", Access(f"http://127.0.0.1:{server.port}", timeout_s=5), lookback_days=2)
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
