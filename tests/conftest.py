"""Fixtures of all tests: where the real films are, generated films, and real servers on loopback.

`MAMMO_TEST_MIAS` names a folder with `png/mdbNNN.png` and `Info.txt`, `MAMMO_TEST_MIAS_MASKS` one with `breast/` and
`parenchyma/`, `MAMMO_TEST_DICOM` one with public DICOM files (fodicom_GH133.dcm, what was derived from it, and
clunie_MG_pixelspacing_8bit.dcm), `MAMMO_TEST_FILMS` one of the form that `tests/bench/film_folders.py` describes.
Without them the tests that need real films skip and say so.
"""

import os

import services  # noqa: F401  sets what OpenMP and ONNX Runtime must know before they are imported

# isort: split
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.datasets.synthetic import write_dataset
from shared.datasets.synthetic_exams import write_exams
from tests.bench.film_folders import RealFilm, real_films
from tests.support.servers import running_broker, running_s3

# the workers' modules read their settings when they are imported; no test reaches anything under these two
os.environ.setdefault("MAMMO_STORE", "/nonexistent/set-by-tests")
os.environ.setdefault("MAMMO_REDIS_URL", "redis://:set-by-tests@127.0.0.1:1/0")


@pytest.fixture(scope="session")
def mias() -> Path:
    return _given("MAMMO_TEST_MIAS", "a copy of MIAS (png/ and Info.txt)")


@pytest.fixture(scope="session")
def mias_masks() -> Path:
    return _given("MAMMO_TEST_MIAS_MASKS", "the masks of MIAS (breast/ and parenchyma/)")


@pytest.fixture(scope="session")
def dicom_films() -> Path:
    return _given("MAMMO_TEST_DICOM", "DICOM files (fodicom_GH133.dcm, what was derived from it, and a text card)")


@pytest.fixture(scope="session")
def labelled_films() -> list[RealFilm]:
    return real_films(_given("MAMMO_TEST_FILMS", "films with truth, as tests/bench/film_folders.py describes them"))


@pytest.fixture(scope="session")
def mias_films(mias: Path) -> list[RealFilm]:
    return real_films(mias)


def _given(variable: str, what: str) -> Path:
    if variable not in os.environ:
        pytest.skip(f"set {variable} to {what}")
    path = Path(os.environ[variable])
    assert path.is_dir(), f"{variable} is {path}, which is no folder"
    return path


@pytest.fixture(scope="session")
def synthetic_films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 generated films of 8 patients, with their Info.txt."""
    folder = tmp_path_factory.mktemp("films")
    write_dataset(folder, 8, seed=7)
    return folder


@pytest.fixture(scope="session")
def synthetic_exams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 generated films of 8 four-view exams, one of them with a repeat and one with a gap, with their tables."""
    folder = tmp_path_factory.mktemp("exams")
    write_exams(folder, 8, seed=7)
    return folder


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Address of a real S3 server over HTTP (moto)."""
    with running_s3() as url:
        yield url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Address of a real broker with a password."""
    with running_broker() as url:
        yield url
