"""The demo's list of results and their pictures, from the archive that the demo starts."""

from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from PIL import Image

from services.gateway.demo import results, write_pictures
from services.gateway.films import read_header
from services.gateway.objects.build import build_objects
from services.gateway.objects.uids import kind_of
from services.gateway.transport.dicomweb import DicomWeb
from shared.datasets.synthetic_dicom import Patient
from tests.support.gateway import four_films, report
from tests.support.pacs import ArchiveProcess

pytestmark = pytest.mark.external
TODAY = date(2026, 11, 30)
PATIENTS = [Patient.of_exam(exam, 11, TODAY) for exam in (1, 2)]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DicomWeb]:
    """An archive with the films of two exams, and the results of the first."""
    running = ArchiveProcess(tmp_path_factory.mktemp("archive"))
    running.start()
    try:
        for patient in PATIENTS:
            for film in four_films(patient):
                running.client.store(film)
        films = {read_header(film).sop_uid: film for film in four_films(PATIENTS[0])}
        for each in build_objects(report(list(films.values())), ("cad-sr", "sc"), films.__getitem__):
            running.client.store(each.data)
        yield running.client
    finally:
        running.kill()


class TestResults:
    def test_are_listed_by_patient_without_the_films(self, archive: DicomWeb) -> None:
        found = results(archive, 2, TODAY)
        kinds = {number: Counter(kind_of(each.sop_uid) for each in objects) for number, objects in found.items()}
        assert kinds == {PATIENTS[0].number: {"cad-sr": 1, "sc": 4}, PATIENTS[1].number: {}}


class TestWritePictures:
    def test_a_picture_of_each_film_is_written(self, archive: DicomWeb, tmp_path: Path) -> None:
        assert write_pictures(archive, 2, TODAY, tmp_path / "pictures") == 4
        files = sorted((tmp_path / "pictures").iterdir())
        assert [path.name for path in files] == [f"{PATIENTS[0].number}-{number}.png" for number in range(1, 5)]
        assert all(Image.open(path).mode == "RGB" for path in files)
