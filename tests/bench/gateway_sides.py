"""What `make bench-gateway` runs: exams as hospitals send them, a gateway with its surroundings, a bare listener."""

import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import psutil
from pynetdicom import AE, AllStoragePresentationContexts, evt

from services.gateway.films import read_header
from services.gateway.inbox import keep
from services.gateway.objects.uids import kind_of
from services.gateway.transport.scp import ListenerOptions, start_listener
from services.gateway.transport.scu import DicomNode, Peer
from shared.datasets.synthetic_dicom import FOUR_VIEWS, Patient, dicom_film
from shared.datasets.synthetic_exams import Exposed, draw_exposure
from shared.imaging.image import Pixels
from shared.store.directory import DirectoryStore
from tests.support.pacs import ArchiveProcess, GatewayProcesses, running_gateway
from tests.support.published import KEY
from tests.support.servers import running_broker
from tests.support.serving import Served, published, running_service

LARGE, SMALL = (2394, 3062), (600, 768)
"""Columns and rows of films: 14.7 MB and 0.9 MB uncompressed."""

RESULTS = {"cad-sr": 1, "tid1500": 1, "sc": 4}
_DATE, _BITS, _GRAIN = "20261130", 12, 6.0


@dataclass(frozen=True)
class Views:
    """The pixels of four views, of which exams of any patients are made."""

    pixels: tuple[Pixels, ...]
    walls_right: tuple[bool, ...]

    @classmethod
    def draw(cls, size: tuple[int, int]) -> "Views":
        """Draw a breast of each side in both views, enlarged to `size` with the grain of a detector."""
        rng, pixels, walls = np.random.default_rng(1), [], []
        for side, view in FOUR_VIEWS:
            drawn = draw_exposure(Exposed(1, side, view, 1), 7)
            grey = drawn.pixels.astype(np.float32) * 2 ** (_BITS - drawn.bits)
            large = cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC)
            large += rng.standard_normal(large.shape, np.float32) * _GRAIN * (large > 0)
            pixels.append(large.clip(0, 2**_BITS - 1).astype(np.uint16))
            walls.append(drawn.wall == "right")
        return cls(tuple(pixels), tuple(walls))

    def exam(self, number: int) -> list[bytes]:
        """Write the films of the exam of this number."""
        patient = Patient(f"BENCH^EXAM{number}", f"B{number}", f"1.2.826.0.1.3680043.8.498.9.{number}", _DATE)
        views = zip(FOUR_VIEWS, self.pixels, self.walls_right, strict=True)
        return [
            dicom_film(pixels, _BITS, patient, side, view, place, walls_right=wall)
            for place, ((side, view), pixels, wall) in enumerate(views, 1)
        ]


@dataclass
class Surroundings:
    """A gateway with its worker, an archive and the inference service, each a process."""

    gateway: GatewayProcesses
    archive: ArchiveProcess
    inference: Served

    def push(self, films: Sequence[bytes], caller: str = "UNIT") -> None:
        """Send films in one connection."""
        send(self.gateway.dicom_port, films, caller)

    def results(self, study_uid: str) -> dict[str, int]:
        """Count the results of a study by kind."""
        kinds = [kind_of(each.sop_uid) for each in self.archive.client.instances(study_uid)]
        return {kind: kinds.count(kind) for kind in RESULTS if kind in kinds}

    def memory_mb(self) -> dict[str, float]:
        """Return the memory of the gateway and of its worker, with their children."""
        return {name: _memory_mb(process.pid) for name, process in self.gateway.processes.items()}


@contextmanager
def surroundings(**variables: str) -> Iterator[Surroundings]:
    """Start everything with default settings, results going to the archive by STOW-RS."""
    with tempfile.TemporaryDirectory(prefix="mammostack-bench-") as name, running_broker() as redis:
        folder = Path(name)
        (folder / "inference").mkdir()
        archive = ArchiveProcess(folder / "archive")
        with running_service(published(folder / "inference" / "store"), folder / "inference") as inference:
            archive.start()
            settings = {
                "MAMMO_STORE": str(folder / "store"),
                "MAMMO_REDIS_URL": redis,
                "MAMMO_INFERENCE_URL": inference.url,
                "MAMMO_API_KEY": KEY,
                "MAMMO_PACS_DEST": archive.url,
                "MAMMO_PACS_POLL_S": "10",
                "MAMMO_PACS_STABLE_S": "60",
                **variables,
            }
            try:
                with running_gateway(folder / "gateway", **settings) as gateway:
                    yield Surroundings(gateway, archive, inference)
            finally:
                archive.kill()


def send(port: int, films: Sequence[bytes], caller: str = "UNIT") -> None:
    """Send films by C-STORE in one connection."""
    peer = Peer("MAMMOSTACK", "127.0.0.1", port, caller)
    DicomNode("gateway", peer).send_files([(read_header(film).sop_class, "film", film) for film in films])


def study_of(films: Sequence[bytes]) -> str:
    """Return the UID of the films' study."""
    return read_header(films[0]).study_uid


def _memory_mb(pid: int) -> float:
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(each.memory_full_info().pss for each in family) / 2**20


def bare_listener(port: int, folder: Path) -> None:
    """Run the shortest listener of pynetdicom that keeps films: each data set becomes a file."""

    def store(event: evt.Event) -> int:
        (folder / f"{event.request.AffectedSOPInstanceUID}.dcm").write_bytes(event.encoded_dataset())
        return 0x0000

    listener = AE(ae_title="MAMMOSTACK")
    listener.supported_contexts = AllStoragePresentationContexts
    listener.start_server(("127.0.0.1", port), evt_handlers=[(evt.EVT_C_STORE, store)])


def gateway_listener(port: int, folder: Path) -> None:
    """Run the gateway's listener with an inbox in a folder."""
    store = DirectoryStore(folder)
    start_listener(ListenerOptions("MAMMOSTACK", "127.0.0.1", port), lambda data: keep(store, data))
    threading.Event().wait()


if __name__ == "__main__":
    {"bare": bare_listener, "gateway": gateway_listener}[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
