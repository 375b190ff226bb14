"""Fixtures of all tests: where the real films are, generated films, and real servers on loopback.

`MAMMO_TEST_MIAS` names a folder with `png/mdbNNN.png` and `Info.txt`, `MAMMO_TEST_MIAS_MASKS` one with `breast/` and
`parenchyma/`, `MAMMO_TEST_DICOM` one with public DICOM files (fodicom_GH133.dcm, what was derived from it, and
clunie_MG_pixelspacing_8bit.dcm), `MAMMO_TEST_FILMS` one in the layout that `tests/support/film_folders.py` describes.
Without them the tests that need real films skip and say so.
"""

import gc
import logging
import os

import services  # noqa: F401  sets what OpenMP and ONNX Runtime must know before they are imported

# isort: split
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3  # noqa: F401  its first import binds a port to learn of IPv6, which is no test's doing

from shared.datasets.synthetic import write_dataset
from shared.datasets.synthetic_exams import write_exams
from tests.support.film_folders import RealFilm, real_films
from tests.support.outside import noticing
from tests.support.reports import without_surrogates

_TESTS = Path(__file__).parent
_UNIT = _TESTS / "unit"
_ALONE = (
    _TESTS / "chaos",
    *(_TESTS / "e2e" / name for name in ("test_containers.py", "test_demo.py", "test_podman.py")),
    _TESTS / "integration" / "test_endurance.py",
)
"""Clusters under faults, containers and the whole demo: what else the machine does makes them fail."""

_SERVICES, _SHARED = _UNIT / "services", _UNIT / "shared"
_SLOW = [
    *(_SERVICES / "train" / name for name in ("distributed", "evaluation", "fitting", "publishing")),
    *(_SERVICES / "train" / name for name in ("data/test_inputs.py", "test_fold.py", "test_leaks.py")),
    *(_SERVICES / name / "test_tasks.py" for name in ("augment", "segment")),
    *(_SHARED / "modelling" / name for name in ("test_networks.py", "test_weights.py")),
    *(_SHARED / name for name in ("datasets/test_synthetic.py", "imaging/segmentation/test_gate.py")),
]
"""They train or load networks, draw reports, or generate many films."""

_EXTERNAL = frozenset(("dicom_films", "labelled_films", "mias", "mias_films", "mias_masks", "redis_url", "s3_endpoint"))
"""Fixtures that start servers or read real films."""

_EXPORTING = "files"
"""The fixture of the inference service's tests that exports networks to ONNX."""


@pytest.hookimpl(tryfirst=True)  # before -m chooses by the markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is `external` or `slow`, or has to be `alone`, by its place and its fixtures."""
    for item in items:
        places, fixtures = {item.path, *item.path.parents}, {*getattr(item, "fixturenames", ())}
        if not places.isdisjoint(_ALONE):
            item.add_marker("alone")
        if not places.isdisjoint(_SLOW) or (_EXPORTING in fixtures and _UNIT / "services" / "inference" in places):
            item.add_marker("slow")
        if _UNIT not in places or not fixtures.isdisjoint(_EXTERNAL):
            item.add_marker("external")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let services that tests start keep compiled networks in a folder of this session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp().parent / "mammostack-cache"))
        yield


def pytest_collection_finish() -> None:
    """Spare each test what modules leave behind: objects that live until the end, and torch's 50 loggers.

    pytest adds its handlers six times a test to every logger that doesn't propagate, and the garbage collector
    looks through all that isn't frozen.
    """
    for logger in tuple(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger) and logger.name.startswith("torch"):
            logger.propagate = True
    gc.freeze()


@pytest.fixture(autouse=True)
def _starts_nothing_outside(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that starts a process or opens a port, unless it is marked `external`."""
    if request.node.get_closest_marker("external"):
        yield
        return
    with noticing() as events:
        yield
    assert not events, f"{', '.join(sorted(set(events)))}: mark the test `external`"


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    return without_surrogates((yield))


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
    return real_films(_given("MAMMO_TEST_FILMS", "films with truth, as tests/support/film_folders.py describes them"))


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
    from tests.support.servers import running_s3  # takes half a second, which unit tests need not wait

    with running_s3() as url:
        yield url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Address of a real broker with a password."""
    from tests.support.servers import running_broker

    with running_broker() as url:
        yield url
