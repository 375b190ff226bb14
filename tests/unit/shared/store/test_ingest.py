"""Bringing films into the store: all or nothing is a data set, and doing it again completes it or changes nothing."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from shared.datasets.entries import read_manifest
from shared.datasets.files import SourceFile, SourceFiles
from shared.datasets.mias import Source
from shared.domain.films import FilmShard, Manifest, as_it_was, describe
from shared.domain.terms import MIAS_TERMS
from shared.errors import DatasetError, InputError, ObjectNotFound, StoreMisconfigured
from shared.imaging.formats.decode import encode_pgm
from shared.store import layout
from shared.store.directory import DirectoryStore
from shared.store.ingest import (
    film_key,
    ingest,
    read_dataset,
    shard_key,
    shard_names,
    stored_manifest,
    write_manifests,
)
from shared.store.ingest_units import UNIT_FILMS
from shared.store.interface import ObjectStore
from tests.support.builders import HeldStore, small_manifest

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


def written(store: DirectoryStore) -> dict[str, tuple[bytes, int]]:
    """Every object with the moment at which it was written."""
    return {key: (store.get(key), (store.root / key).stat().st_mtime_ns) for key in store.list("")}


class Recording(DirectoryStore):
    """Remembers the order in which objects were written."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.written: list[str] = []

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        self.written.append(key)
        return super().put(key, data, if_absent=if_absent, if_match=if_match)


class Reading:
    """Counts how often each film is read."""

    def __init__(self, files: SourceFiles) -> None:
        self._files, self.path = files, files.path
        self.read_files: Counter[str] = Counter()

    def list(self) -> Iterator[SourceFile]:
        return self._files.list()

    def read(self, file: SourceFile, at_most: int | None = None) -> bytes:
        self.read_files[file.name] += 1
        return self._files.read(file, at_most)


class Interrupted(DirectoryStore):
    """Its power fails at put number `after`."""

    def __init__(self, root: Path, after: int) -> None:
        super().__init__(root)
        self.left = after

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return super().put(key, data, if_absent=if_absent, if_match=if_match)


class TestShardNames:
    def test_a_file_that_changed_since_its_unit_was_done_is_read_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("shared.store.ingest.os.cpu_count", lambda: 1)
        source = write_films(tmp_path / "films", films=2 * UNIT_FILMS)
        with pytest.raises(KeyboardInterrupt):
            ingest(Interrupted(tmp_path / "store", UNIT_FILMS + 3), source, "mias")
        changed = encode_pgm(np.zeros((48, 64), np.uint8))
        (tmp_path / "films" / "mdb001.pgm").write_bytes(changed)
        store = DirectoryStore(tmp_path / "store")
        done = ingest(store, Source(tmp_path / "films"), "mias")
        assert store.get(film_key(done.dataset, done.manifest.films[0])) == changed
        check_whole(store, Source(tmp_path / "films"))


class TestIngest:
    def test_the_store_holds_the_films_as_they_came_and_their_manifest(
        self, store: DirectoryStore, source: Source
    ) -> None:
        done = ingest(store, source, "mias")
        assert done.written == FILMS
        assert read_dataset(store, "mias") == done.dataset
        assert stored_manifest(store, "mias") == done.manifest
        assert set(store.list("")) == {layout.raw_manifest("mias"), shard_key(done.dataset, "000000")} | {
            film_key(done.dataset, film) for film in done.manifest.films
        }
        for film in done.manifest.films:
            assert store.get(film_key(done.dataset, film)) == (source.path / f"{film.id}.pgm").read_bytes()

    def test_a_second_time_changes_nothing(self, store: DirectoryStore, source: Source) -> None:
        first = ingest(store, source, "mias")
        before = written(store)
        again = ingest(store, source, "mias")
        assert written(store) == before
        assert (again.written, again.manifest) == (0, first.manifest)

    def test_two_names_are_two_data_sets(self, store: DirectoryStore, source: Source) -> None:
        ingest(store, source, "one")
        assert ingest(store, source, "two").written == FILMS
        assert without_keys(stored_manifest(store, "one")).films == without_keys(stored_manifest(store, "two")).films
        one, two = read_dataset(store, "one"), read_dataset(store, "two")
        assert one == two.model_copy(update={"dataset": "one"})

    @pytest.mark.parametrize("after", [0, 1, FILMS, FILMS + 1, FILMS + 2])
    def test_what_was_interrupted_is_no_data_set_until_it_is_completed(
        self, tmp_path: Path, source: Source, after: int
    ) -> None:
        with pytest.raises(KeyboardInterrupt):
            ingest(Interrupted(tmp_path / "store", after), source, "mias")
        store = DirectoryStore(tmp_path / "store")
        assert len(list(store.list(""))) == after
        for read in (read_dataset, stored_manifest):
            with pytest.raises(ObjectNotFound):
                read(store, "mias")

        ingest(store, source, "mias")
        whole = DirectoryStore(tmp_path / "at once")
        ingest(whole, source, "mias")
        assert {key: store.get(key) for key in store.list("")} == {key: whole.get(key) for key in whole.list("")}

    def test_other_films_under_the_same_name_are_refused_and_change_nothing(
        self, tmp_path: Path, store: DirectoryStore, source: Source
    ) -> None:
        ingest(store, source, "mias")
        before = written(store)
        for other in (write_films(tmp_path / "drawn anew", seed=1), write_films(tmp_path / "fewer", films=FILMS - 2)):
            with pytest.raises(DatasetError, match="other films under this name") as refused:
                ingest(store, other, "mias")
            assert "'mias'" in refused.value.where
        assert written(store) == before

    def test_one_bad_film_is_left_out_and_said_and_strictly_nothing_becomes_a_data_set(
        self, store: DirectoryStore, source: Source
    ) -> None:
        bad, whole = source.path / f"mdb{FILMS:03d}.pgm", (source.path / f"mdb{FILMS:03d}.pgm").read_bytes()
        bad.write_bytes(b"P5\n64 48\n255\n")
        with pytest.raises(DatasetError, match=f"mdb{FILMS:03d}.pgm"):
            ingest(store, source, "mias", strict=True)
        with pytest.raises(ObjectNotFound):
            read_dataset(store, "mias")
        done = ingest(store, source, "mias")
        assert [film.id for film in done.manifest.films] == [f"mdb{number:03d}" for number in range(1, FILMS)]
        (problem,) = done.problems
        assert (problem.kind, problem.where) == ("image can't be used", bad.name)
        assert "0 bytes of pixels" in problem.what
        bad.write_bytes(whole)
        again = ingest(store, source, "mias")
        assert (again.written, again.dataset.version, again.dataset.films) == (1, 2, FILMS)

    def test_a_source_of_which_no_film_can_be_used_is_no_data_set(self, store: DirectoryStore, source: Source) -> None:
        for film in source.path.glob("*.pgm"):
            film.write_bytes(b"no film")
        with pytest.raises(DatasetError, match=r"mdb001\.pgm: unsupported image format"):
            ingest(store, source, "mias")

    def test_a_film_that_got_lost_is_restored_alone(self, store: DirectoryStore, source: Source) -> None:
        done = ingest(store, source, "mias")
        before = written(store)
        lost = film_key(done.dataset, done.manifest.films[1])
        store.delete(lost)
        assert ingest(store, source, "mias").written == 1
        after = written(store)
        assert after.pop(lost)[0] == before.pop(lost)[0]
        assert after == before

    def test_every_file_is_read_once(self, tmp_path: Path, store: DirectoryStore) -> None:
        source = write_films(tmp_path / "films", films=2 * UNIT_FILMS + 3)
        reading = Reading(source.files)
        source.files = reading
        ingest(store, source, "mias")
        assert reading.read_files == Counter(f"mdb{number:03d}.pgm" for number in range(1, 2 * UNIT_FILMS + 4))

    @pytest.mark.parametrize("killed_after", [5, UNIT_FILMS + 5, 2 * UNIT_FILMS + 4])
    def test_after_a_kill_the_next_ingest_reads_and_writes_only_the_rest(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_after: int
    ) -> None:
        monkeypatch.setattr("shared.store.ingest.os.cpu_count", lambda: 1)
        source = write_films(tmp_path / "films", films=3 * UNIT_FILMS)
        with pytest.raises(KeyboardInterrupt):
            ingest(Interrupted(tmp_path / "store", killed_after), source, "mias")
        finished = killed_after // (UNIT_FILMS + 1)
        source.files = reading = Reading(source.files)
        done = ingest(DirectoryStore(tmp_path / "store"), source, "mias")
        assert reading.read_files.total() == (3 - finished) * UNIT_FILMS
        assert done.written == 3 * UNIT_FILMS - (killed_after - finished)
        assert done.dataset.films == 3 * UNIT_FILMS

    def test_progress_counts_every_film(self, tmp_path: Path, store: DirectoryStore) -> None:
        seen: list[tuple[str, int, int]] = []
        films = 2 * UNIT_FILMS + 3
        ingest(store, write_films(tmp_path / "films", films=films), "mias", lambda *step: seen.append(step))
        assert seen == [("ingesting films", done, films) for done in (UNIT_FILMS, 2 * UNIT_FILMS, films)]


class TestVersions:
    def test_a_data_set_grows_by_a_version_and_its_first_shards_stay(
        self, tmp_path: Path, store: DirectoryStore
    ) -> None:
        first = ingest(store, write_films(tmp_path / "first", films=12), "mias")
        shards = {name: store.get(shard_key(first.dataset, name)) for name in shard_names(first.dataset.shards)}
        more = ingest(store, write_films(tmp_path / "more", films=14), "mias")
        assert (more.dataset.version, more.dataset.films, more.dataset.parts, more.written) == (2, 14, (12, 2), 2)
        assert more.dataset.shards == (8, 4, 2)
        assert {name: store.get(shard_key(more.dataset, name)) for name in shards} == shards
        assert [film.id for film in stored_manifest(store, "mias").films] == [
            f"mdb{number:03d}" for number in range(1, 15)
        ]
        assert stored_manifest(store, "mias").films[:12] == first.manifest.films
        assert store.get(shard_key(first.dataset, "000001")) == shards["000001"]
        third = ingest(store, write_films(tmp_path / "third", films=16), "mias").dataset
        assert (third.version, third.parts) == (3, (12, 2, 2))
        assert [version.content for version in third.earlier] == [first.dataset.content, more.dataset.content]
        assert [as_it_was(third, found.sha256) for found in (first.dataset, more.dataset, third)] == [
            first.dataset.model_copy(update={"parts": (12,), "patients": third.patients}),
            more.dataset.model_copy(update={"patients": third.patients}),
            third,
        ]
        assert as_it_was(third, "another digest") is None
        check_whole(store, Source(tmp_path / "third"))

    def test_new_films_alone_are_added_only_if_that_is_wanted(self, tmp_path: Path, store: DirectoryStore) -> None:
        ingest(store, write_films(tmp_path / "all", films=4), "mias")
        folder = write_films(tmp_path / "new", films=8).path
        for number in range(1, 5):
            (folder / f"mdb{number:03d}.pgm").unlink()
        (folder / "Info.txt").write_text("".join(f"mdb{number:03d} G NORM\n" for number in range(5, 9)))
        with pytest.raises(DatasetError, match="--append"):
            ingest(store, Source(folder), "mias")
        done = ingest(store, Source(folder), "mias", append=True)
        assert (done.dataset.version, done.dataset.films, done.written) == (2, 8, 4)
        again = ingest(store, Source(folder), "mias", append=True)
        assert (again.dataset, again.written) == (done.dataset, 0)

    def test_a_data_set_of_before_grows_where_it_lies(
        self, tmp_path: Path, store: DirectoryStore, source: Source
    ) -> None:
        objects = as_before(store, source)
        done = ingest(store, write_films(tmp_path / "more", films=FILMS + 1), "mias")
        assert (done.dataset.version, done.dataset.films, done.written) == (2, FILMS + 1, 1)
        for film in stored_manifest(store, "mias").films[:FILMS]:
            assert store.get(film_key(done.dataset, film)) == objects[f"raw/mias/films/{film.id}.pgm"]

    def test_of_two_ingests_that_add_films_at_once_one_adds_them_and_the_other_says_so(
        self, tmp_path: Path, both_stores: ObjectStore
    ) -> None:
        ingest(both_stores, write_films(tmp_path / "first"), "mias")
        slower = write_films(tmp_path / "slower", films=FILMS + 2)
        (slower.path / f"mdb{FILMS + 1:03d}.pgm").write_bytes(encode_pgm(np.zeros((48, 64), np.uint8)))
        faster = write_films(tmp_path / "faster", films=FILMS + 1)
        held = HeldStore(both_stores, 2)
        with ThreadPoolExecutor(1) as thread:
            late = thread.submit(outcome, held, slower)
            assert held.waits.wait(30)
            assert outcome(both_stores, faster)
            held.go.set()
            assert not late.result()
        check_whole(both_stores, faster)

    def test_an_ingest_that_changes_nothing_leaves_one_that_adds_films_whole(
        self, tmp_path: Path, store: DirectoryStore, source: Source
    ) -> None:
        ingest(store, source, "mias")
        more = write_films(tmp_path / "more", films=FILMS + 2)
        held = HeldStore(store, 2)
        with ThreadPoolExecutor(1) as thread:
            adds = thread.submit(outcome, held, more)
            assert held.waits.wait(30)
            assert ingest(store, source, "mias").written == 0
            held.go.set()
            assert adds.result()
        check_whole(store, more)


class TestShards:
    @pytest.mark.parametrize(("films", "sizes"), [(1, [1]), (8, [8]), (9, [8, 1]), (16, [8, 8]), (20, [8, 8, 4])])
    def test_films_are_stored_in_shards_in_their_order(
        self, store: DirectoryStore, films: int, sizes: list[int]
    ) -> None:
        manifest = small_manifest(films)
        small = write_manifests(store, describe(manifest), manifest)
        names = list(shard_names(small.shards))
        shards = [FilmShard.model_validate_json(store.get(shard_key(small, name))).films for name in names]
        assert [len(shard) for shard in shards] == sizes
        assert tuple(chain.from_iterable(shards)) == manifest.films
        assert list(store.list(layout.raw_manifests("small", small.content))) == [
            shard_key(small, name) for name in names
        ]

    @pytest.mark.parametrize("films", [0, 1, 8, 20])
    def test_what_is_known_of_a_data_set_is_read_as_it_was_written(self, store: DirectoryStore, films: int) -> None:
        manifest = small_manifest(films)
        write_manifests(store, describe(manifest), manifest)
        assert read_dataset(store, "small") == describe(manifest)
        assert stored_manifest(store, "small") == manifest

    def test_what_makes_a_data_set_exist_is_written_last_and_once(self, tmp_path: Path) -> None:
        store = Recording(tmp_path / "store")
        ingested = ingest(store, write_films(tmp_path / "films", films=9), "mias")
        done = ingested.dataset
        films = [film_key(done, film) for film in ingested.manifest.films]
        shards = [shard_key(done, "000000"), shard_key(done, "000001")]
        unit, *last = store.written[len(films) :]
        assert sorted(store.written[: len(films)]) == films
        assert unit.endswith("/units/000000.json")
        assert last == [*shards, layout.raw_manifest("mias")]
        with pytest.raises(DatasetError, match="other films under this name"):
            write_manifests(
                store, describe(small_manifest(1)).model_copy(update={"dataset": "mias"}), small_manifest(1)
            )

    def test_what_is_known_of_a_shard_is_restored_when_it_got_lost(self, store: DirectoryStore, source: Source) -> None:
        done = ingest(store, source, "mias")
        before = written(store)
        store.delete(shard_key(done.dataset, "000000"))
        assert ingest(store, source, "mias").written == 0
        assert {key: data for key, (data, _) in written(store).items()} == {
            key: data for key, (data, _) in before.items()
        }

    def test_a_data_set_is_described_without_reading_its_films(self, tmp_path: Path) -> None:
        store = DirectoryStore(tmp_path / "store")
        described = ingest(store, write_films(tmp_path / "films", films=9), "mias").dataset
        for key in list(store.list("")):
            if key != layout.raw_manifest("mias"):
                store.delete(key)
        assert read_dataset(store, "mias") == described
        assert (described.films, described.shard_films, described.synthetic) == (9, 8, False)

    def test_the_names_of_shards_sort_as_their_numbers(self) -> None:
        names = list(shard_names([8] * 100_000))
        assert len(names) == 100_000
        assert names == sorted(names)
        assert (names[0], names[-1]) == ("000000", "099999")

    def test_a_name_that_is_no_name_is_refused_before_anything_is_read(
        self, store: DirectoryStore, source: Source
    ) -> None:
        for use in (lambda name: ingest(store, source, name), lambda name: read_dataset(store, name)):
            with pytest.raises(InputError, match=r"data set '\.\./mias' is not a name"):
                use("../mias")
        assert list(store.list("")) == []


def as_before(store: ObjectStore, source: Source) -> dict[str, bytes]:
    """What releases before 0.2 stored of the films: objects that go by the names of films and shards alone."""
    manifest = read_manifest(source, "mias")
    description = describe(manifest).model_dump(exclude={"content"}, mode="json")
    shard = FilmShard(films=manifest.films).model_dump_json(indent=1).encode()
    objects = {layout.raw_film("mias", "", entry.id): source.files.read(entry.file) for entry in source.entries()}
    objects |= {layout.raw_shard("mias", "", "000000"): shard}
    objects |= {layout.raw_manifest("mias"): json.dumps(description, indent=1).encode()}
    for key, data in objects.items():
        store.put(key, data)
    return objects


RELEASED_DIGEST = "8fec43e2bf4bab527e10315d2bbec1410a04ab309430c4eb163e49b80d76bf0c"
RELEASED_MANIFEST = f"""{{
 "dataset": "mias",
 "synthetic": false,
 "films": 2,
 "shard_films": 8,
 "patients": {{
  "normal": 1,
  "benign": 1,
  "malignant": 0
 }},
 "sha256": "{RELEASED_DIGEST}",
 "content": "{RELEASED_DIGEST}"
}}"""
RELEASED_SHARD = """{
 "films": [
  {
   "id": "mdb001",
   "patient": "p001",
   "side": "right",
   "density": "G",
   "label": "benign",
   "lesions": [
    {
     "kind": "CIRC",
     "label": "benign",
     "x": 10.0,
     "y": 8.0,
     "radius": 5.0
    }
   ],
   "sha256": "1220e066fc7a176ddacd23c2a913460194da8fa76238e73598d648026fa5e013",
   "width": 64,
   "height": 48
  },
  {
   "id": "mdb002",
   "patient": "p001",
   "side": "left",
   "density": "G",
   "label": "normal",
   "lesions": [],
   "sha256": "6f22a9126568cab2556e4b264f387ede6d652e9d45610d4dc1196af04994e710",
   "width": 64,
   "height": 48
  }
 ]
}"""


class TestOlderStores:
    def test_a_data_set_of_before_is_read_and_ingested_again_without_a_change(
        self, store: DirectoryStore, source: Source
    ) -> None:
        objects = as_before(store, source)
        assert stored_manifest(store, "mias") == read_manifest(source, "mias")
        before = written(store)
        again = ingest(store, source, "mias")
        assert written(store) == before
        assert (again.written, film_key(again.dataset, again.manifest.films[0])) == (0, "raw/mias/films/mdb001.pgm")
        for lost in ("raw/mias/films/mdb003.pgm", "raw/mias/manifests/000000.json"):
            store.delete(lost)
            ingest(store, source, "mias")
            assert {key: store.get(key) for key in store.list("")} == objects

    def test_other_films_are_refused_beside_a_data_set_of_before(
        self, tmp_path: Path, store: DirectoryStore, source: Source
    ) -> None:
        objects = as_before(store, source)
        with pytest.raises(DatasetError, match="other films under this name"):
            ingest(store, write_films(tmp_path / "other", seed=1), "mias")
        assert {key: store.get(key) for key in store.list("")} == objects

    def test_a_data_set_that_release_0_1_stored_is_ingested_again_without_a_change(
        self, tmp_path: Path, store: DirectoryStore
    ) -> None:
        """The two texts are what 0.1.0 wrote of these films."""
        folder = tmp_path / "films"
        folder.mkdir()
        films = {f"mdb{number:03d}": encode_pgm(np.full((48, 64), 50 * number, np.uint8)) for number in (1, 2)}
        store.put("raw/mias/manifest.json", RELEASED_MANIFEST.encode())
        store.put(f"raw/mias/{RELEASED_DIGEST}/manifests/000000.json", RELEASED_SHARD.encode())
        for film, data in films.items():
            (folder / f"{film}.pgm").write_bytes(data)
            store.put(f"raw/mias/{RELEASED_DIGEST}/films/{film}.pgm", data)
        (folder / "Info.txt").write_text("mdb001 G CIRC B 10 40 5\nmdb002 G NORM\n")
        before = written(store)
        again = ingest(store, Source(folder), "mias")
        assert (again.written, again.dataset.sha256) == (0, RELEASED_DIGEST)
        assert written(store) == before
        assert again.dataset.model_dump_json(indent=1) == RELEASED_MANIFEST
        assert again.dataset.known_terms == MIAS_TERMS


def outcome(store: ObjectStore, source: Source) -> bool:
    """Whether the ingest went through."""
    try:
        ingest(store, source, "mias")
        return True
    except DatasetError as refused:
        if "other films under this name" not in str(refused):
            raise
        return False


def without_keys(manifest: Manifest) -> Manifest:
    films = tuple(film.model_copy(update={"key": None}) for film in manifest.films)
    return manifest.model_copy(update={"films": films})


def check_whole(store: ObjectStore, source: Source) -> None:
    """The store holds the films of `source` and what is known of them, and not an object more."""
    stored, dataset = stored_manifest(store, "mias"), read_dataset(store, "mias")
    assert without_keys(stored) == read_manifest(source, "mias")
    wanted = {layout.raw_manifest("mias"), *(shard_key(dataset, name) for name in shard_names(dataset.shards))}
    for version in dataset.earlier:
        wanted |= set(store.list(layout.raw_manifests("mias", version.content)))
    films = {film.id: film for film in stored.films}
    for entry in source.entries():
        key = film_key(dataset, films[entry.id])
        assert store.get(key) == source.files.read(entry.file)
        wanted.add(key)
    assert set(store.list("raw/mias/")) == wanted


class TestConcurrentIngest:
    @pytest.mark.parametrize("at", range(1, FILMS + 4))
    def test_an_ingest_that_is_overtaken_by_other_films_at_any_write_leaves_the_other_ones_whole(
        self, tmp_path: Path, both_stores: ObjectStore, source: Source, at: int
    ) -> None:
        faster = write_films(tmp_path / "faster", seed=1)
        slow = HeldStore(both_stores, at)
        with ThreadPoolExecutor(1) as thread:
            late = thread.submit(outcome, slow, source)
            assert slow.waits.wait(30)
            assert outcome(both_stores, faster)
            slow.go.set()
            assert not late.result()
        check_whole(both_stores, faster)

    @pytest.mark.parametrize("at", [1, FILMS, FILMS + 1, FILMS + 3])
    def test_an_ingest_that_is_overtaken_by_the_same_films_succeeds_too(
        self, both_stores: ObjectStore, source: Source, at: int
    ) -> None:
        slow = HeldStore(both_stores, at)
        with ThreadPoolExecutor(1) as thread:
            late = thread.submit(outcome, slow, source)
            assert slow.waits.wait(30)
            assert outcome(both_stores, source)
            slow.go.set()
            assert late.result()
        check_whole(both_stores, source)

    def test_of_many_ingests_of_one_name_those_of_one_set_of_films_go_through(
        self, tmp_path: Path, both_stores: ObjectStore
    ) -> None:
        sources = [write_films(tmp_path / f"films {seed}", seed=seed) for seed in range(3)] * 2
        together = threading.Barrier(len(sources))

        def begin(source: Source) -> bool:
            together.wait(30)
            return outcome(both_stores, source)

        with ThreadPoolExecutor(len(sources)) as threads:
            done = list(threads.map(begin, sources))
        (winner,) = {source.path for source, went_through in zip(sources, done, strict=True) if went_through}
        assert done == [source.path == winner for source in sources]
        check_whole(both_stores, Source(winner))

    def test_an_ingest_that_may_not_delete_succeeds_and_leaves_what_nothing_leads_to(
        self, tmp_path: Path, store: DirectoryStore, source: Source
    ) -> None:
        class Kept(DirectoryStore):
            def delete(self, key: str) -> None:
                raise StoreMisconfigured("access denied")

        with pytest.raises(KeyboardInterrupt):
            ingest(Interrupted(store.root, FILMS), write_films(tmp_path / "other", seed=1), "mias")
        assert ingest(Kept(store.root), source, "mias").written == FILMS
        assert without_keys(stored_manifest(store, "mias")) == read_manifest(source, "mias")

    def test_what_an_ingest_that_broke_off_has_left_is_removed_by_the_next_one(
        self, tmp_path: Path, store: DirectoryStore, source: Source
    ) -> None:
        with pytest.raises(KeyboardInterrupt):
            ingest(Interrupted(store.root, FILMS + 1), write_films(tmp_path / "other", seed=1), "mias")
        store.put("raw/mias/README", b"not of ours")
        ingest(store, source, "mias")
        assert store.get("raw/mias/README") == b"not of ours"
        store.delete("raw/mias/README")
        check_whole(store, source)
