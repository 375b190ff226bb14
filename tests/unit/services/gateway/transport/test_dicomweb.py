"""DICOMweb as a client, of archives on loopback: what is listed, and what an archive that breaks off is taken for."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask, Response
from werkzeug.serving import BaseWSGIServer, make_server

from services.gateway.films import read_header
from services.gateway.interfaces import ListedInstance, Rejected
from services.gateway.local_archive import LocalArchive, serving
from services.gateway.objects.build import build_objects
from services.gateway.transport.dicomweb import Access, DicomWeb
from services.gateway.transport.multipart import body_of
from services.gateway.transport.tls import server_context
from shared.errors import ServiceUnavailable
from tests.support.certificates import self_signed
from tests.support.gateway import PATIENT, SECRETS, changed, four_films, report

pytestmark = pytest.mark.external
FILMS = four_films()


@contextmanager
def served(server: BaseWSGIServer, timeout_s: float = 5, access: Access | None = None) -> Iterator[DicomWeb]:
    """Yield a client of a server that runs meanwhile, by default one without TLS and password."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        plain = Access(f"http://127.0.0.1:{server.port}", timeout_s=timeout_s)
        yield DicomWeb("archive", access or plain, lookback_days=2)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def storing(status: int, body: str) -> BaseWSGIServer:
    """Return an archive that answers each STOW-RS request like this."""
    app = Flask(__name__)

    @app.post("/studies")
    def store() -> Response:
        return Response(body, status=status, content_type="application/dicom+json")

    return make_server("127.0.0.1", 0, app)


def refusing_all(reasons: dict[str, int]) -> str:
    """Return the body of an answer that names objects as not stored (PS3.18 10.5.3.2)."""
    items = [
        {"00081155": {"vr": "UI", "Value": [uid]}, "00081197": {"vr": "US", "Value": [reason]}}
        for uid, reason in reasons.items()
    ]
    return json.dumps({"00081198": {"vr": "SQ", "Value": items}})


def refusing(uid: str, reason: int) -> str:
    """Return the body of an answer that names one object as not stored."""
    return refusing_all({uid: reason})


RESULT, SECOND = build_objects(report(FILMS), ("cad-sr", "tid1500"), lambda _: b"")
OTHER = refusing("1.2.3", 0x0122)


class TestDicomWeb:
    @pytest.mark.parametrize(
        ("status", "body", "error"),
        [
            (200, "", None),
            (200, "{}", None),
            (200, "no JSON", None),
            (200, refusing(RESULT.sop_uid, 0x0122), Rejected),
            (202, refusing(RESULT.sop_uid, 0xC000), Rejected),
            (202, refusing(RESULT.sop_uid, 0xA700), ServiceUnavailable),
            (202, OTHER, ServiceUnavailable),
            (409, refusing(RESULT.sop_uid, 0x0111), None),
            (409, refusing(RESULT.sop_uid, 0xB007), None),
            (409, "[]", Rejected),
            (400, refusing(RESULT.sop_uid, 0xA701), ServiceUnavailable),
            (400, '{"detail": "something"}', Rejected),
            (413, "", Rejected),
            (401, "", ServiceUnavailable),
            (403, "{}", ServiceUnavailable),
            (404, "", ServiceUnavailable),
            (500, "", ServiceUnavailable),
            (503, refusing(RESULT.sop_uid, 0xA700), ServiceUnavailable),
            *((status, refusing(RESULT.sop_uid, 0x0122), ServiceUnavailable) for status in (401, 403, 404, 429, 500)),
            (503, refusing(RESULT.sop_uid, 0x0110), ServiceUnavailable),
            (503, refusing(RESULT.sop_uid, 0x0111), ServiceUnavailable),
            (202, refusing(RESULT.sop_uid, 0x0110), ServiceUnavailable),
            (409, refusing(RESULT.sop_uid, 0x0110), ServiceUnavailable),
            (202, refusing_all({RESULT.sop_uid: 0x0122, SECOND.sop_uid: 0xA700}), ServiceUnavailable),
            (202, refusing_all({RESULT.sop_uid: 0xA700, SECOND.sop_uid: 0x0122}), ServiceUnavailable),
            (409, refusing_all({RESULT.sop_uid: 0x0111, SECOND.sop_uid: 0x0122}), Rejected),
        ],
    )
    def test_answer_to_stored_results_is_read(self, status: int, body: str, error: type[Exception] | None) -> None:
        with served(storing(status, body)) as archive:
            if error is None:
                archive.send([RESULT, SECOND])
                return
            with pytest.raises(error) as raised:
                archive.send([RESULT, SECOND])
        said = str(raised.value)
        assert not [secret for secret in (*SECRETS, RESULT.sop_uid) if secret in said]

    def test_archive_behind_tls_is_read_with_a_client_certificate_alone(self, tmp_path: Path) -> None:
        files, other = self_signed(tmp_path / "ours"), self_signed(tmp_path / "other")
        app = Flask(__name__)
        app.get("/studies")(list)
        server = make_server("127.0.0.1", 0, app, threaded=True, ssl_context=server_context(files))
        address = f"https://localhost:{server.port}"
        ours = Access(address, verify=files.authority, certificate=(files.certificate, files.key), timeout_s=5)
        with served(server, access=ours) as archive:
            archive.check()
            strangers = [
                replace(ours, certificate=None),
                replace(ours, certificate=(other.certificate, other.key)),
                replace(ours, verify=other.authority),
                replace(ours, verify=True),
            ]
            for access in strangers:
                with pytest.raises(ServiceUnavailable, match="does not answer"):
                    DicomWeb("archive", access).check()

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
