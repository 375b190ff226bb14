"""A cluster for all tests of the folder, generated films, and what an undisturbed run over them leaves."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.cluster import Cluster
from tests.chaos.rounds import Films, read_films, undisturbed_run
from tests.support.releases import code_of, last_release_commit


@pytest.fixture(scope="package")
def seed() -> int:
    """MAMMO_TEST_SEED repeats a round; every test prints what it took."""
    return int(os.environ.get("MAMMO_TEST_SEED", "7"))


@pytest.fixture(scope="package")
def films(synthetic_films: Path) -> Films:
    return read_films(synthetic_films)


@pytest.fixture(scope="package")
def cluster(seed: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("chaos")
    last_release = code_of(last_release_commit(), folder / "last-release")
    with Cluster(folder, seed, print, last_release=last_release).running() as cluster:
        cluster.away_s = 8.0
        yield cluster


@pytest.fixture(scope="package")
def undisturbed(cluster: Cluster, films: Films) -> dict[str, str]:
    return undisturbed_run(cluster, films)
