"""DICOM's own protocol on loopback: what is accepted, what is refused, and TLS."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydicom.uid import MammographyCADSRStorage, SecondaryCaptureImageStorage
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification  # type: ignore[attr-defined]

from services.gateway.films import read_header
from services.gateway.interfaces import Rejected
from services.gateway.objects.build import build_objects
from services.gateway.transport.scp import ListenerOptions, start_listener
from services.gateway.transport.scu import DicomNode, Peer
from shared.errors import ServiceUnavailable, StoreUnavailable
from shared.local.broker import free_port
from tests.support.certificates import self_signed
from tests.support.gateway import SECRETS, changed, four_films, report

pytestmark = pytest.mark.external
FILMS = four_films()


def options() -> ListenerOptions:
    return ListenerOptions("MAMMOSTACK", "127.0.0.1", free_port(), callers=("UNIT",), timeout_s=5)


@contextmanager
def listening(chosen: ListenerOptions, kept: list[bytes]) -> Iterator[None]:
    def keep(data: bytes) -> bool:
        kept.append(data)
        return True

    server = start_listener(chosen, keep)
    try:
        yield
    finally:
        server.shutdown()


def node(chosen: ListenerOptions, **changes: object) -> DicomNode:
    peer = Peer(chosen.title, "127.0.0.1", chosen.port, "UNIT", timeout_s=5)
    return DicomNode("gateway", replace(peer, **changes))


def after_a_loss(request: Callable[..., Any]) -> Callable[..., Any]:
    """Return a request of an association that is lost just before it."""

    def lost(association: Association, *arguments: Any) -> Any:
        association.abort()
        return request(association, *arguments)

    return lost


def received(outcome: str) -> float:
    return REGISTRY.get_sample_value("mammo_gateway_received_total", {"outcome": outcome}) or 0.0


def rejected(reason: str) -> float:
    return REGISTRY.get_sample_value("mammo_gateway_associations_total", {"outcome": reason}) or 0.0


def films() -> list[tuple[str, str, bytes]]:
    return [(read_header(film).sop_class, "film", film) for film in FILMS]


class TestDicom:
    def test_films_arrive_with_their_pixels_and_headers_unchanged(self) -> None:
        chosen, kept = options(), list[bytes]()
        with listening(chosen, kept):
            node(chosen).check()
            node(chosen).send_files(films())
        assert [read_header(data).sop_uid for data in kept] == [read_header(film).sop_uid for film in FILMS]
        assert [data[-1000:] for data in kept] == [film[-1000:] for film in FILMS]

    def test_node_that_drops_the_association_before_an_echo_is_away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        chosen = options()
        monkeypatch.setattr(Association, "send_c_echo", after_a_loss(Association.send_c_echo))
        with listening(chosen, []), pytest.raises(ServiceUnavailable, match="connection to the destination was lost"):
            node(chosen).check()

    def test_node_that_drops_the_association_before_a_query_is_away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        chosen = options()
        monkeypatch.setattr(Association, "send_c_find", after_a_loss(Association.send_c_find))
        archive = AE(ae_title=chosen.title)
        archive.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        server = archive.start_server(("127.0.0.1", chosen.port), block=False)
        try:
            with pytest.raises(ServiceUnavailable, match="connection to the destination was lost"):
                node(chosen).instances("1.2.3")
        finally:
            server.shutdown()

    def test_other_objects_of_a_study_are_accepted_and_dropped(self) -> None:
        chosen, kept = options(), list[bytes]()
        data = dict(zip((read_header(film).sop_uid for film in FILMS), FILMS, strict=True))
        results = [*build_objects(report(FILMS), ("cad-sr", "tid1500", "sc"), data.__getitem__)]
        with listening(chosen, kept):
            node(chosen).send_files([(each.sop_class, each.kind, each.data) for each in results] + films()[:1])
        assert len(kept) == 1

    @pytest.mark.parametrize("changes", [{"called": "OTHER"}, {"calling": "STRANGER"}])
    def test_wrong_titles_are_rejected_before_any_film(self, changes: dict[str, str]) -> None:
        chosen, kept = options(), list[bytes]()
        with listening(chosen, kept), pytest.raises(ServiceUnavailable):
            node(chosen, **changes).send_files(films())
        assert not kept

    def test_film_is_not_acknowledged_while_the_store_is_away(self) -> None:
        chosen = options()

        def keep(_data: bytes) -> bool:
            raise StoreUnavailable("away")

        server = start_listener(chosen, keep)
        try:
            with pytest.raises(ServiceUnavailable):
                node(chosen).send_files(films())
        finally:
            server.shutdown()

    def test_film_is_refused_for_now_while_the_disk_is_full(self, tmp_path: Path) -> None:
        chosen, kept = replace(options(), disk=str(tmp_path), fullest_disk=0.0), list[bytes]()
        with listening(chosen, kept), pytest.raises(ServiceUnavailable):
            node(chosen).send_files(films())
        assert not kept

    def test_film_that_is_too_large_is_refused_for_good(self) -> None:
        chosen, kept = replace(options(), most_bytes=len(FILMS[0]) - 1000), list[bytes]()
        with listening(chosen, kept), pytest.raises(Rejected, match="C000"):
            node(chosen).send_files(films())
        assert not kept

    def test_connection_that_sends_twice_the_largest_film_is_aborted(self) -> None:
        chosen, kept = replace(options(), most_bytes=len(FILMS[0]) // 5), list[bytes]()
        before = received("too large")
        with listening(chosen, kept), pytest.raises(ServiceUnavailable):
            node(chosen).send_files(films()[:1])
        assert not kept
        assert received("too large") == before + 1

    def test_many_films_in_one_connection_are_not_taken_for_a_large_one(self) -> None:
        chosen, kept = replace(options(), most_bytes=len(FILMS[0]) + 1000), list[bytes]()
        with listening(chosen, kept):
            node(chosen).send_files(films())
        assert len(kept) == 4

    def test_connections_beyond_the_limit_are_rejected_and_counted(self) -> None:
        chosen, kept = replace(options(), most_associations=1), list[bytes]()
        before = rejected("too many")
        caller = AE(ae_title="UNIT")
        with listening(chosen, kept):
            first = caller.associate("127.0.0.1", chosen.port, [build_context(Verification)], ae_title=chosen.title)
            with pytest.raises(ServiceUnavailable):
                node(chosen).send_files(films()[:1])
            first.release()
            node(chosen).send_files(films()[:1])
        assert (len(kept), rejected("too many")) == (1, before + 1)

    @pytest.mark.parametrize("refuses", ["in negotiation", "by status"])
    def test_objects_that_a_destination_takes_arrive_though_it_refuses_others(self, refuses: str) -> None:
        chosen, kept = options(), list[str]()
        data = dict(zip((read_header(film).sop_uid for film in FILMS), FILMS, strict=True))
        results = [*build_objects(report(FILMS), ("cad-sr", "sc"), data.__getitem__)]

        def store(event: evt.Event) -> int:
            kept.append(str(event.request.AffectedSOPClassUID))
            return 0x0122 if kept[-1] == MammographyCADSRStorage else 0x0000

        archive = AE(ae_title=chosen.title)
        archive.add_supported_context(SecondaryCaptureImageStorage)
        if refuses == "by status":
            archive.add_supported_context(MammographyCADSRStorage)
        server = archive.start_server(("127.0.0.1", chosen.port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
        try:
            with pytest.raises(Rejected, match="cad-sr"):
                node(chosen).send(results)
        finally:
            server.shutdown()
        assert kept.count(str(SecondaryCaptureImageStorage)) == 4

    def test_nothing_of_a_header_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        chosen, kept = options(), list[bytes]()
        with caplog.at_level(logging.DEBUG), listening(chosen, kept):
            node(chosen).send_files([(read_header(FILMS[0]).sop_class, "film", changed(FILMS[0], PatientAge="not"))])
        assert not [secret for secret in SECRETS if secret in caplog.text]

    def test_tls_takes_certificates_of_the_authority_alone(self, tmp_path: Path) -> None:
        ours, other = self_signed(tmp_path / "ours"), self_signed(tmp_path / "other")
        chosen, kept = replace(options(), certificates=ours), list[bytes]()
        with listening(chosen, kept):
            node(chosen, certificates=ours, host="localhost").send_files(films()[:1])
            for certificates in (None, replace(other, authority=ours.authority)):
                with pytest.raises(ServiceUnavailable):
                    node(chosen, certificates=certificates, host="localhost").send_files(films()[:1])
        assert len(kept) == 1
