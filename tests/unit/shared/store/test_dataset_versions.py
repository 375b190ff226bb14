"""Data sets by NAME and NAME@VERSION."""

import pytest

from shared.datasets.sources import open_source
from shared.datasets.synthetic import write_dataset
from shared.domain.films import version_of
from shared.errors import InputError, PlanError
from shared.store.dataset_versions import read_dataset_version
from shared.store.directory import DirectoryStore
from shared.store.ingest import ingest, read_manifest


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> DirectoryStore:
    """A data set whose second and third version added two films each."""
    folder = tmp_path_factory.mktemp("grown")
    store = DirectoryStore(folder / "store")
    for patients in (1, 2, 3):
        write_dataset(folder / "films", patients)
        ingest(store, open_source(folder / "films"), "clinic")
    return store


class TestReadDatasetVersion:
    @pytest.mark.parametrize(("named", "films"), [("clinic", 6), ("clinic@3", 6), ("clinic@2", 4), ("clinic@1", 2)])
    def test_each_version_has_the_films_of_its_time(self, grown: DirectoryStore, named: str, films: int) -> None:
        dataset = read_dataset_version(grown, named)
        assert (dataset.films, dataset.version) == (films, films // 2)
        assert len(read_manifest(grown, dataset).films) == films
        assert sum(dataset.shards) == films

    @pytest.mark.parametrize("named", ["clinic@0", "clinic@4"])
    def test_a_version_that_is_not_there_is_refused_with_those_that_are(
        self, grown: DirectoryStore, named: str
    ) -> None:
        with pytest.raises(PlanError, match="it has 1 to 3"):
            read_dataset_version(grown, named)

    @pytest.mark.parametrize("named", ["clinic@", "clinic@newest", "clinic@-1", "clinic@1@2"])
    def test_what_is_no_number_is_refused(self, grown: DirectoryStore, named: str) -> None:
        with pytest.raises(InputError, match="write clinic@NUMBER, such as clinic@1"):
            read_dataset_version(grown, named)

    def test_a_data_set_that_is_not_there(self, grown: DirectoryStore) -> None:
        with pytest.raises(PlanError, match="there is no data set 'town'"):
            read_dataset_version(grown, "town@1")


class TestVersionOf:
    def test_an_earlier_version_of_an_earlier_version_is_the_same(self, grown: DirectoryStore) -> None:
        newest = read_dataset_version(grown, "clinic")
        second = version_of(newest, 2)
        assert second
        assert version_of(second, 1) == version_of(newest, 1)
        assert version_of(second, 3) is None
