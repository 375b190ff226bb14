"""A session with Orthanc, for a network namespace: `unshare --net python -m tests.support.orthanc_session`.

Debian's Orthanc can't listen on loopback alone, so it gets a network that has nothing else. Prints what happened as
JSON.
"""

import json
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import requests

from services.gateway.films import hashed, read_header
from services.gateway.flow import ExamFlow, FlowOptions
from services.gateway.inbox import keep, received_exams
from services.gateway.interfaces import ListedInstance
from services.gateway.objects.uids import kind_of
from services.gateway.report import KINDS
from services.gateway.transport.dicomweb import Access, DicomWeb
from services.gateway.transport.scp import ListenerOptions, start_listener
from services.gateway.transport.scu import DicomNode, Peer
from shared.api.exams import ExamPrediction
from shared.store.directory import DirectoryStore
from tests.support.gateway import PATIENT, answer, changed, finding, four_films

_HTTP, _DICOM, _OURS = 8042, 4242, 11112
_URL = f"http://127.0.0.1:{_HTTP}"


def start_orthanc(folder: Path) -> "subprocess.Popen[bytes]":
    """Start Orthanc with its DICOMweb plugin and wait for it."""
    configuration = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": _HTTP,
        "DicomPort": _DICOM,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": True,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "Plugins": ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "DicomModalities": {"gateway": ["MAMMOSTACK", "127.0.0.1", _OURS]},
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configuration))
    with (folder / "orthanc.log").open("ab") as log:
        process = subprocess.Popen(["Orthanc", str(path)], stdout=log, stderr=log)
    for _ in range(100):
        try:
            if requests.get(f"{_URL}/dicom-web/studies", timeout=1).ok:
                return process
        except requests.RequestException:
            time.sleep(0.2)
    raise RuntimeError((folder / "orthanc.log").read_text())


def predict(films: Sequence[bytes]) -> ExamPrediction:
    """Answer as the inference service does, without a model."""
    return answer([finding(read_header(film)) for film in films])


def kinds(listed: list[ListedInstance] | None) -> dict[str, int]:
    """Count results by kind."""
    return dict(Counter(kind for each in listed or [] if (kind := kind_of(each.sop_uid))))


def session(folder: Path) -> dict[str, object]:
    """Take an exam through Orthanc by each way."""
    films, study = four_films(), hashed(PATIENT.study_uid)
    web = DicomWeb("orthanc", Access(f"{_URL}/dicom-web"), lookback_days=36500)
    node = DicomNode("orthanc", Peer("ORTHANC", "127.0.0.1", _DICOM, "MAMMOSTACK"))
    store = DirectoryStore(folder / "store")
    facts: dict[str, object] = {}
    for number, film in enumerate(films):
        (folder / f"{number}.dcm").write_bytes(film)
    sent = ["storescu", "-aec", "ORTHANC", "127.0.0.1", str(_DICOM), *(str(folder / f"{n}.dcm") for n in range(3))]
    facts["storescu to Orthanc"] = subprocess.run(sent, check=False).returncode
    node.check()
    listed = web.instances(PATIENT.study_uid) or []
    facts["views"] = sorted(f"{each.side}{each.view}" for each in listed)
    facts["bytes kept"] = all(
        read_header(web.fetch(PATIENT.study_uid, each)).sop_uid == each.sop_uid
        and web.fetch(PATIENT.study_uid, each)[-1000:] in [film[-1000:] for film in films]
        for each in listed
    )
    flow = ExamFlow(store, web, [web], predict, FlowOptions(KINDS))
    facts["three films"] = [flow.process(study), flow.process(study), kinds(web.instances(PATIENT.study_uid))]
    node.send_files([(read_header(films[3]).sop_class, "film", films[3])])
    facts["late film"] = [flow.process(study), flow.process(study), kinds(web.instances(PATIENT.study_uid))]
    facts["the same by C-FIND"] = kinds(node.instances(PATIENT.study_uid))
    facts["series"] = sorted({each.series_number for each in web.instances(PATIENT.study_uid) or []})

    server = start_listener(
        ListenerOptions("MAMMOSTACK", "127.0.0.1", _OURS, callers=("ORTHANC", "STORESCU")),
        lambda data: keep(store, data),
    )
    orthanc_id = requests.get(f"{_URL}/studies", timeout=5).json()[0]
    pushed = requests.post(f"{_URL}/modalities/gateway/store", data=orthanc_id, timeout=60)
    facts["Orthanc pushes films and results"] = [pushed.status_code, len(received_exams(store)[study].keys)]
    other = [
        changed(film, StudyInstanceUID="1.2.3.4.5", SOPInstanceUID=f"1.2.3.4.5.{n}") for n, film in enumerate(films)
    ]
    for number, film in enumerate(other):
        (folder / f"other{number}.dcm").write_bytes(film)
    to_us = ["storescu", "-aec", "MAMMOSTACK", "127.0.0.1", str(_OURS)]
    facts["storescu to the gateway"] = subprocess.run(
        [*to_us, *(str(folder / f"other{n}.dcm") for n in range(4))], check=False
    ).returncode
    by_dicom = ExamFlow(store, None, [node], predict, FlowOptions(("cad-sr", "tid1500", "sc")))
    facts["pushed and stored by C-STORE"] = [
        by_dicom.process(hashed("1.2.3.4.5")),
        kinds(node.instances("1.2.3.4.5")),
        by_dicom.process(study),
        list(store.list("gateway/")),
    ]
    server.shutdown()
    return facts


def main() -> None:
    """Run the session and print it."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        orthanc = start_orthanc(Path(folder))
        try:
            print(json.dumps(session(Path(folder))))
        finally:
            orthanc.kill()
            orthanc.wait()


if __name__ == "__main__":
    main()
