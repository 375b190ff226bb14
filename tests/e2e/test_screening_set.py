"""A screening set as it comes, four-view DICOM exams and a table, up to a promoted version and an answered exam.

The films are generated, in the layout and columns of RSNA's set; broker, workers, store (S3) and service are real.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import boto3
import pytest

from shared.client import FilmUpload, InferenceClient
from shared.datasets.synthetic import label_of
from shared.datasets.synthetic_dicom import FOUR_VIEWS, exam_films
from shared.domain.records import Label
from shared.evaluations.flow import read_external_evaluation
from shared.evaluations.plan import make_evaluation
from shared.local.stack import Stack, running_stack, wait_for
from shared.runs import pipeline
from shared.store import models
from shared.store.ingest import stored_manifest
from shared.store.objects import open_store
from tests.support.commands import mammo
from tests.support.public_sets import put, put_table

WOMEN = 8
COLUMNS = "site_id,patient_id,image_id,laterality,view,age,cancer,biopsy,invasive,BIRADS,implant,density,machine_id"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests"}
STUDY_DATE = date(2026, 5, 4)
LATER = 100


def patient(woman: int) -> int:
    return 10000 + woman


def screening_set(folder: Path, women: range) -> Path:
    """Write the exams; planted: a view that was taken twice, one that the mapping does not take, a file without row."""
    rows: list[tuple[object, ...]] = []
    for woman in women:
        for number, ((side, view), film) in enumerate(
            zip(FOUR_VIEWS, exam_films(woman, seed=7, study_date=STUDY_DATE), strict=True)
        ):
            label = label_of(2 * woman - (side == "right"))
            cancer, biopsy = int(label is Label.MALIGNANT), int(label is not Label.NORMAL)
            image = 100 * woman + number
            known = ("L" if side == "left" else "R", view, 60, cancer, biopsy, cancer, "", 0, "B", 49)
            rows.append((1, patient(woman), image, *known))
            put(folder / "train_images" / str(patient(woman)) / f"{image}.dcm", film)
    first = women[0]
    again, other = 100 * first + 50, 100 * first + 51
    twice = next(iter(exam_films(first, seed=8, study_date=STUDY_DATE)))
    rows.append((1, patient(first), again, *rows[0][3:]))
    rows.append((1, patient(first), other, rows[0][3], "AT", *rows[0][5:]))
    for image in (again, other, 100 * first + 52):
        put(folder / "train_images" / str(patient(first)) / f"{image}.dcm", twice)
    put_table(folder / "train.csv", COLUMNS, rows)
    return folder


@pytest.fixture
def stack(tmp_path: Path, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """All services over S3, and the commands set to them."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1").create_bucket(Bucket="screening")
    store = "s3://screening/prefix"
    with running_stack(tmp_path / "stack", store, extra={"MAMMO_S3_ENDPOINT_URL": s3_endpoint}) as running:
        monkeypatch.setenv("MAMMO_STORE", store)
        monkeypatch.setenv("MAMMO_S3_ENDPOINT_URL", s3_endpoint)
        monkeypatch.setenv("MAMMO_REDIS_URL", running.settings.broker.redis_url.get_secret_value())
        yield running


class TestScreeningSet:
    def test_exams_and_a_table_become_a_promoted_version_that_answers_an_exam(
        self, stack: Stack, tmp_path: Path
    ) -> None:
        films = screening_set(tmp_path / "rsna", range(1, WOMEN + 1))

        surveyed = mammo("ingest", str(films), "--mapping", "rsna-2023", "--dry-run")
        for planted in ("image without row: 1", "view repeated: 1", "1 rows are left out by the mapping"):
            assert planted in surveyed
        said = mammo("ingest", str(films), "--mapping", "rsna-2023", "--workers")
        assert f"data set rsna-2023: {4 * WOMEN + 1} films" in said
        assert "image without row: 1" in said
        store = open_store(stack.settings.store)
        manifest = stored_manifest(store, "rsna-2023")
        assert Counter(film.label for film in manifest.films) == {Label.NORMAL: 17, Label.BENIGN: 8, Label.MALIGNANT: 8}
        hidden = (b"GENERATED^EXAM", b"GEN0001")
        assert not [key for key in store.list("raw/") for name in hidden if name in store.get(key)]

        options = ("--profile", "test", "--network", "resnet50", "--protocol", "patient", "--from-scratch", "--wait")
        mammo("run", "--dataset", "rsna-2023", *options)
        (run,) = pipeline.list_runs(store)
        card = models.read_card(store, "resnet50", run)
        assert models.read_alias(store, "resnet50").version == run
        assert card.data_terms.startswith("RSNA Screening Mammography")
        assert card.labelling is not None
        assert card.exam_rule is not None
        assert (card.metrics.n_films, card.exam_rule.breast.metrics.n_films) == (4 * WOMEN + 1, 2 * WOMEN)
        assert card.exam_rule.exam.metrics.n_films == WOMEN

        client = InferenceClient(stack.url, stack.key)
        wait_for("loading the promoted model", client.ready, stack.processes)
        answer = client.predict_exam([FilmUpload(film) for film in exam_films(LATER, seed=7, study_date=STUDY_DATE)])
        assert [film.problem for film in answer.films] == [None] * 4
        assert {breast.laterality: len(breast.films) for breast in answer.breasts} == {"L": 2, "R": 2}
        assert answer.exam is not None
        assert answer.model.version == run

        more = screening_set(tmp_path / "more", range(WOMEN, WOMEN + 5))
        mammo("ingest", str(more), "--mapping", "rsna-2023", "--dataset", "later")
        mammo("evaluate", "production", "--network", "resnet50", "--dataset", "later", "--wait")
        found = read_external_evaluation(store, make_evaluation(store, "resnet50", run, "later"))
        assert found is not None
        seen = str(patient(WOMEN)) not in card.held_out_patients
        assert found.left_out.patients_by_id == ((str(patient(WOMEN)),) if seen else ())
        assert found.levels[1].metrics.n_films == 5 - seen
