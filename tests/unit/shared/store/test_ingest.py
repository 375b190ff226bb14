"""Bringing films into the store: all or nothing is a data set, and doing it again completes it or changes nothing."""

from pathlib import Path

import numpy as np
import pytest

from shared.datasets.mias import Source
from shared.errors import DatasetError, InputError, ObjectNotFound
from shared.imaging.decode import encode_pgm
from shared.store import keys
from shared.store.ingest import ingest, read_dataset
from shared.store.objects import DirectoryStore

FILMS = 6


def write_films(folder: Path, seed: int = 0, films: int = FILMS) -> Source:
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for number in range(1, films + 1):
        pixels = rng.integers(0, 255, (48, 64), np.uint8)
        (folder / f"mdb{number:03d}.pgm").write_bytes(encode_pgm(pixels))
    rows = "".join(f"mdb{number:03d} G NORM\n" for number in range(1, films + 1))
    (folder / "Info.txt").write_text(rows)
    return Source(folder)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return write_films(tmp_path / "films")


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


def contents(store: DirectoryStore) -> dict[str, tuple[bytes, int]]:
    """Every object with the moment at which it was written."""
    return {key: (store.get(key), (store.root / key).stat().st_mtime_ns) for key in store.list("")}


class Interrupted(DirectoryStore):
    """Its power fails at put number `after`."""

    def __init__(self, root: Path, after: int) -> None:
        super().__init__(root)
        self.left = after

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        super().put(key, data, if_absent=if_absent, if_match=if_match)


def test_the_store_holds_the_films_as_they_came_and_their_manifest(store: DirectoryStore, source: Source) -> None:
    done = ingest(store, source, "mias")
    assert done.written == FILMS
    assert read_dataset(store, "mias") == done.manifest
    assert set(store.list("")) == {keys.raw_manifest("mias")} | {
        keys.raw_film("mias", film.id) for film in done.manifest.films
    }
    for film in done.manifest.films:
        assert store.get(keys.raw_film("mias", film.id)) == (source.path / f"{film.id}.pgm").read_bytes()


def test_a_second_time_changes_nothing(store: DirectoryStore, source: Source) -> None:
    first = ingest(store, source, "mias")
    before = contents(store)
    again = ingest(store, source, "mias")
    assert contents(store) == before
    assert (again.written, again.manifest) == (0, first.manifest)


def test_two_names_are_two_data_sets(store: DirectoryStore, source: Source) -> None:
    ingest(store, source, "one")
    assert ingest(store, source, "two").written == FILMS
    assert [film.id for film in read_dataset(store, "one").films] == [
        film.id for film in read_dataset(store, "two").films
    ]


@pytest.mark.parametrize("after", [0, 1, FILMS])
def test_what_was_interrupted_is_no_data_set_until_it_is_completed(tmp_path: Path, source: Source, after: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        ingest(Interrupted(tmp_path / "store", after), source, "mias")
    store = DirectoryStore(tmp_path / "store")
    assert len(list(store.list(""))) == after
    with pytest.raises(ObjectNotFound):
        read_dataset(store, "mias")

    ingest(store, source, "mias")
    whole = DirectoryStore(tmp_path / "at once")
    ingest(whole, source, "mias")
    assert {key: store.get(key) for key in store.list("")} == {key: whole.get(key) for key in whole.list("")}


def test_other_films_under_the_same_name_are_refused_and_change_nothing(
    tmp_path: Path, store: DirectoryStore, source: Source
) -> None:
    ingest(store, source, "mias")
    before = contents(store)
    for other in (write_films(tmp_path / "drawn anew", seed=1), write_films(tmp_path / "more", films=FILMS + 2)):
        with pytest.raises(DatasetError, match="other films under this name") as refused:
            ingest(store, other, "mias")
        assert "'mias'" in refused.value.where
    assert contents(store) == before


def test_nothing_is_written_when_the_last_film_is_bad(store: DirectoryStore, source: Source) -> None:
    (source.path / f"mdb{FILMS:03d}.pgm").write_bytes(b"P5\n64 48\n255\n")
    with pytest.raises(DatasetError, match=f"mdb{FILMS:03d}.pgm"):
        ingest(store, source, "mias")
    assert list(store.list("")) == []


def test_a_film_that_got_lost_is_restored_alone(store: DirectoryStore, source: Source) -> None:
    ingest(store, source, "mias")
    before = contents(store)
    lost = keys.raw_film("mias", "mdb002")
    store.delete(lost)
    assert ingest(store, source, "mias").written == 1
    after = contents(store)
    assert after.pop(lost)[0] == before.pop(lost)[0]
    assert after == before


def test_a_film_that_changes_between_check_and_copy_is_refused_by_name(store: DirectoryStore, source: Source) -> None:
    def change(doing: str, done: int, _: int) -> None:
        if (doing, done) == ("checking films", FILMS):
            (source.path / "mdb001.pgm").write_bytes(encode_pgm(np.zeros((48, 64), np.uint8)))

    with pytest.raises(DatasetError, match="changed while it was being ingested") as refused:
        ingest(store, source, "mias", change)
    assert refused.value.where == "mdb001.pgm"
    with pytest.raises(ObjectNotFound):
        read_dataset(store, "mias")


def test_progress_names_both_steps_and_counts_every_film(store: DirectoryStore, source: Source) -> None:
    seen: list[tuple[str, int, int]] = []
    ingest(store, source, "mias", lambda *step: seen.append(step))
    assert seen == [("checking films", done, 0) for done in range(1, FILMS + 1)] + [
        ("storing films", done, FILMS) for done in range(1, FILMS + 1)
    ]


def test_a_name_that_is_no_name_is_refused_before_anything_is_read(store: DirectoryStore, source: Source) -> None:
    with pytest.raises(InputError, match=r"data set '\.\./mias' is not a name"):
        ingest(store, source, "../mias")
    assert list(store.list("")) == []
