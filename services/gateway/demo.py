"""`make demo PACS=1`: an archive on loopback, exams sent as a mammography unit would, results listed beside them.

The archive, the gateway and its worker run next to the services of the demo.
"""

import io
import sys
from collections import Counter
from datetime import date
from pathlib import Path

import pydicom
from PIL import Image

from services.gateway.bootstrap import certificates_of
from services.gateway.interfaces import ListedInstance
from services.gateway.objects.uids import kind_of
from services.gateway.transport.dicomweb import Access, DicomWeb
from services.gateway.transport.scu import DicomNode, Peer
from shared.datasets.synthetic_dicom import Patient, exam_films
from shared.settings import GatewayProcessSettings, read_settings

_SEED = 11  # not that of the training films


def send_exams(settings: GatewayProcessSettings, exams: int, today: date) -> None:
    """Send four-view exams to the gateway, and to the archive, as a mammography unit does."""
    gateway = settings.gateway
    peer = Peer(gateway.title, gateway.host, gateway.dicom_port, "DEMO_UNIT", certificates_of(gateway))
    unit, archive = DicomNode("gateway", peer), DicomWeb("archive", Access(settings.pacs.places[0]))
    for exam in range(1, exams + 1):
        films = list(exam_films(exam, _SEED, today))
        for film in films:
            archive.store(film)
        unit.send_files([(str(_header(film).SOPClassUID), "film", film) for film in films])
    print(f"sent by C-STORE to {gateway.title} at {gateway.host}:{gateway.dicom_port}: {exams} exams of four films")


def results(archive: DicomWeb, exams: int, today: date) -> dict[str, list[ListedInstance]]:
    """Return the results of each exam, by the number of its patient."""
    found = {}
    for exam in range(1, exams + 1):
        patient = Patient.of_exam(exam, _SEED, today)
        listed = archive.instances(patient.study_uid) or []
        found[patient.number] = [each for each in listed if kind_of(each.sop_uid)]
    return found


def write_pictures(archive: DicomWeb, exams: int, today: date, folder: Path) -> int:
    """Write the Secondary Captures as PNG files; return their number."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for exam in range(1, exams + 1):
        patient = Patient.of_exam(exam, _SEED, today)
        for each in archive.instances(patient.study_uid) or []:
            if kind_of(each.sop_uid) == "sc":
                picture = pydicom.dcmread(io.BytesIO(archive.fetch(patient.study_uid, each)))
                name = f"{patient.number}-{each.instance_number}.png"
                Image.fromarray(picture.pixel_array).save(folder / name)
                count += 1
    return count


def _header(film: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(film), stop_before_pixels=True)


def main(arguments: list[str]) -> None:
    """`send EXAMS`, or `show EXAMS FOLDER`, which fails while results are missing."""
    settings, today = read_settings(GatewayProcessSettings), date.today()  # noqa: DTZ011  the date of a made-up exam
    exams = int(arguments[1])
    if arguments[0] == "send":
        send_exams(settings, exams, today)
        return
    archive = DicomWeb("archive", Access(settings.pacs.places[0]))
    found = results(archive, exams, today)
    wanted = settings.pacs.out.split(",")
    if any({kind_of(each.sop_uid) for each in each_of} < set(wanted) for each_of in found.values()):
        sys.exit(1)
    for patient, objects in found.items():
        counts = Counter(str(kind_of(each.sop_uid)) for each in objects)
        print(f"  {patient}: 4 films, " + ", ".join(f"{counts[kind]} {kind}" for kind in wanted))
    pictures = write_pictures(archive, exams, today, Path(arguments[2]))
    print(f"{pictures} result pictures: {arguments[2]}")


if __name__ == "__main__":
    main(sys.argv[1:])
