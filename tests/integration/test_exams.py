"""Exams sent to the running service: by the client, and more at once than it may hold."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import requests

from shared.client import FilmUpload
from shared.imaging.formats.decode import encode_pgm
from shared.store.directory import DirectoryStore
from tests.support.serving import HEADERS, Served, running_service

CLIENTS = 24
BOUNDS = {"MAMMO_MAX_IMAGE_MB": "3", "MAMMO_MAX_REQUEST_MB": "10", "MAMMO_SERVE_IN_HAND_MB": "20"}


class TestExams:
    def test_the_client_sends_an_exam_and_gets_each_film_s_finding_or_problem(
        self, served: Served, films: list[bytes]
    ) -> None:
        sent = [
            FilmUpload(films[0], "left.png", view="MLO", side="L"),
            FilmUpload(b"%PDF", "report.pdf"),
            FilmUpload(films[1], view="MLO"),
        ]
        answer = served.client.predict_exam(sent, heatmap=True, explained="malignant")
        first, second, third = answer.films
        assert second.problem is not None
        assert (second.name, second.problem.code, second.finding) == ("report.pdf", "unsupported-image", None)
        for film, alone, source in ((first, films[0], "stated"), (third, films[1], "shape")):
            assert film.finding is not None
            assert film.finding.probabilities == served.client.predict(alone).probabilities
            assert film.finding.heatmap is not None
            assert film.finding.heatmap.label == "malignant"
            assert film.finding.about is not None
            assert film.finding.about.view.name == "MLO"
            assert film.finding.about.laterality.source == source
        assert {breast.laterality: breast.films for breast in answer.breasts} == {"L": (0,), "R": (2,)}

    def test_more_exams_at_once_than_it_may_hold_are_answered_or_told_when_to_come_and_fill_no_disk(
        self, store_of_models: DirectoryStore, films: list[bytes], tmp_path: Path
    ) -> None:
        """A form here has three films of 2 MB and a small one; three such forms fit into the bytes in hand."""
        deep = np.left_shift(np.full((1024, 1024), 1, np.uint16), 15)
        large = encode_pgm(deep)
        form = [("image", (f"{number}.pgm", large)) for number in range(3)] + [("image", ("film.png", films[0]))]
        temporary = tmp_path / "tmp"
        temporary.mkdir()
        with running_service(store_of_models, tmp_path, TMPDIR=str(temporary), **BOUNDS) as served:
            (worker,) = psutil.Process(served.process.pid).children()
            before = {path for path in temporary.rglob("*") if path.suffix != ".db"}

            def ask(_number: int) -> "requests.Response":
                return requests.post(f"{served.url}/v1/exams", files=form, headers=HEADERS, timeout=60)

            with ThreadPoolExecutor(CLIENTS) as pool:
                answers = list(pool.map(ask, range(CLIENTS)))
            statuses = [answer.status_code for answer in answers]
            assert set(statuses) <= {200, 429, 503}
            assert 200 in statuses
            for answer in answers:
                if answer.status_code == 200:
                    assert ["finding" in film for film in answer.json()["films"]] == [False, False, False, True]
                else:
                    assert int(answer.headers["Retry-After"]) >= 1
                    assert answer.json()["title"] in ("no-room", "overloaded")
            assert {path for path in temporary.rglob("*") if path.suffix != ".db"} == before
            assert worker.is_running()
            until = time.monotonic() + 10
            while (
                "mammo_bytes_in_hand 0.0" not in requests.get(f"{served.url}/metrics", headers=HEADERS, timeout=5).text
            ):
                assert time.monotonic() < until
            assert ask(0).status_code == 200
