"""The gateway as it runs: polling, pushing, and whatever is killed meanwhile, with the real inference service."""

from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import requests

from services.gateway.films import read_header
from services.gateway.interfaces import ListedInstance
from services.gateway.objects.uids import kind_of
from services.gateway.transport.multipart import body_of
from services.gateway.transport.scu import DicomNode, Peer
from shared.datasets.synthetic_dicom import exam_films
from shared.store.directory import DirectoryStore
from tests.support.gateway import SECRETS, changed
from tests.support.pacs import ArchiveProcess, GatewayProcesses, running_gateway, wait_for
from tests.support.published import KEY
from tests.support.servers import running_broker
from tests.support.serving import Served, published, running_service

TODAY = date(2026, 11, 30)
ONE_SET = {"cad-sr": 1, "tid1500": 1, "sc": 4}


@pytest.fixture(scope="module")
def films() -> list[bytes]:
    """The four films of a generated exam, with names that must be found nowhere."""
    secrets = {"PatientName": SECRETS[0], "PatientID": SECRETS[2], "AccessionNumber": SECRETS[3]}
    return [changed(film, InstitutionName=SECRETS[4], **secrets) for film in exam_films(2, 7, TODAY)]


@pytest.fixture(scope="module")
def inference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("inference")
    with running_service(published(folder / "store"), folder) as served:
        yield served


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[ArchiveProcess]:
    running = ArchiveProcess(tmp_path / "archive")
    running.start()
    yield running
    running.kill()


@pytest.fixture
def variables(inference: Served, archive: ArchiveProcess, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings of a gateway that sends to the archive and takes what is pushed."""
    with running_broker() as redis:
        yield {
            "MAMMO_STORE": str(tmp_path / "store"),
            "MAMMO_REDIS_URL": redis,
            "MAMMO_VISIBILITY_TIMEOUT_S": "10",
            "MAMMO_INFERENCE_URL": inference.url,
            "MAMMO_API_KEY": KEY,
            "MAMMO_PACS_DEST": archive.url,
        }


def results(archive: ArchiveProcess, film: bytes) -> dict[str, int]:
    listed: list[ListedInstance] = archive.client.instances(read_header(film).study_uid) or []
    return dict(Counter(kind for each in listed if (kind := kind_of(each.sop_uid))))


def wait_for_results(archive: ArchiveProcess, films: list[bytes], gateway: GatewayProcesses, wanted: object) -> None:
    def there() -> bool:
        try:
            return results(archive, films[0]) == wanted
        except Exception:  # noqa: BLE001  the archive is being killed
            return False

    # a message that dies with the worker that takes it is sent again once the exam's quiet time, up to 60 s, has passed
    wait_for(there, 150, lambda: f"{results(archive, films[0])}\n{gateway.log[-3000:]}")


def put(archive: ArchiveProcess, films: list[bytes]) -> None:
    content_type = 'multipart/related; type="application/dicom"; boundary=line'
    body = b"".join(body_of(films, b"line"))
    assert requests.post(f"{archive.url}/studies", data=body, headers={"Content-Type": content_type}, timeout=20).ok


def push(gateway: GatewayProcesses, films: list[bytes]) -> None:
    peer = Peer("MAMMOSTACK", "127.0.0.1", gateway.dicom_port, "UNIT")
    DicomNode("gateway", peer).send_files([(read_header(film).sop_class, "film", film) for film in films])


class TestGateway:
    def test_polled_exam_gets_results_once_and_a_late_film_new_reports(
        self, variables: dict[str, str], archive: ArchiveProcess, films: list[bytes], tmp_path: Path
    ) -> None:
        put(archive, films[:3])
        with running_gateway(tmp_path / "gateway", MAMMO_PACS_URL=archive.url, **variables) as gateway:
            wait_for_results(archive, films, gateway, {"cad-sr": 1, "tid1500": 1, "sc": 3})
            put(archive, films)
            wait_for_results(archive, films, gateway, {"cad-sr": 2, "tid1500": 2, "sc": 4})
            gateway.kill()
            gateway.start()
            series = requests.get(f"http://127.0.0.1:{gateway.port}/metrics", timeout=5).text
            wait_for(lambda: "mammo_gateway_archive_up" in series, 10, lambda: gateway.log)
        assert results(archive, films[0]) == {"cad-sr": 2, "tid1500": 2, "sc": 4}

    def test_pushed_exam_gets_results_and_no_name_is_left_anywhere(
        self, variables: dict[str, str], archive: ArchiveProcess, films: list[bytes], tmp_path: Path
    ) -> None:
        store = DirectoryStore(tmp_path / "store")
        variables = {**variables, "MAMMO_LOG_LEVEL": "DEBUG"}
        with running_gateway(tmp_path / "gateway", **variables) as gateway:
            push(gateway, films)
            wait_for_results(archive, films, gateway, ONE_SET)
            wait_for(lambda: not list(store.list("gateway/")), 20, lambda: str(list(store.list("gateway/"))))
            push(gateway, films)
            wait_for(lambda: not list(store.list("gateway/")), 20, lambda: str(list(store.list("gateway/"))))
            series = requests.get(f"http://127.0.0.1:{gateway.port}/metrics", timeout=5).text
            log = gateway.log
        assert results(archive, films[0]) == ONE_SET
        assert "mammo_gateway_received_total" in series
        uids = [uid for film in films for uid in (read_header(film).sop_uid, read_header(film).study_uid)]
        everywhere = log + series + "".join(store.list(""))
        assert not [secret for secret in (*SECRETS, *uids) if secret in everywhere]

    @pytest.mark.parametrize("victim", ["worker", "gateway", "archive", "inference"])
    def test_exam_gets_one_set_of_results_whoever_is_killed(
        self,
        variables: dict[str, str],
        archive: ArchiveProcess,
        films: list[bytes],
        tmp_path: Path,
        inference: Served,
        victim: str,
    ) -> None:
        variables = {**variables, "MAMMO_PACS_STABLE_S": "60"}  # taken when all four views are there, and not before
        if victim == "inference":
            variables = {**variables, "MAMMO_INFERENCE_URL": "http://127.0.0.1:1"}
        with running_gateway(tmp_path / "gateway", **variables) as gateway:
            push(gateway, films[:2])
            if victim == "archive":
                archive.kill()
            elif victim != "inference":
                gateway.kill(victim)
            if victim != "gateway":
                push(gateway, films[2:])
            if victim == "archive":
                archive.start()
            elif victim == "inference":
                gateway.kill("worker")
                gateway.variables["MAMMO_INFERENCE_URL"] = inference.url
                gateway.start("worker")
            else:
                gateway.start(victim)
            push(gateway, films)
            wait_for_results(archive, films, gateway, ONE_SET)
