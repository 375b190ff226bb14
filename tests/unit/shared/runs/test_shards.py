"""A shard, film by film: what fails is tried again and set aside, the others go on, and what is whole stays so."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.domain.films import Film, FilmShard, SetAside, Shard, Variant
from shared.errors import (
    NotAMammogram,
    ObjectNotFound,
    QueueUnavailable,
    StoreMisconfigured,
    StoreUnavailable,
    UndecodableImage,
)
from shared.runs.plan import Plan
from shared.runs.shards import ShardStage, is_intact, process_shard
from shared.store.directory import DirectoryStore
from shared.store.interface import ObjectStore
from shared.store.prefetch import ObjectAccess
from tests.support import tiny_stages
from tests.support.builders import Tries, do, shard_place, small_plan
from tests.support.stores import contents
from tests.support.tiny_stages import AUGMENT, SEGMENT, shard_of

pytestmark = pytest.mark.slow

MAX_TRIES = 3
FILMS = [f"mdb{number:03d}" for number in range(1, 9)]


class Trouble:
    """The stage augment, in which every film fails with what is left of its errors, one at each try."""

    def __init__(self, **errors: list[Exception]) -> None:
        self.errors = errors
        self.tried: list[str] = []
        self.way: ShardStage[Film] = replace(AUGMENT, process=self.work)

    def work(self, store: ObjectAccess, plan: Plan, film: Film) -> list[Variant]:
        self.tried.append(film.id)
        if self.errors.get(film.id):
            raise self.errors[film.id].pop(0)
        return tiny_stages.augment(store, plan, film)

    def do(self, store: ObjectStore, plan: Plan, tries: Tries | None = None) -> tuple[SetAside, ...]:
        return process_shard(self.way, store, plan, "000000", tries or Tries(), MAX_TRIES)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


@pytest.fixture
def plan(store: DirectoryStore) -> Plan:
    """A run over the films of two shards, of which nothing is done."""
    return tiny_stages.stored(store, small_plan(16))


def films_of(shard: Shard) -> list[str]:
    return list(dict.fromkeys(variant.film for variant in shard.variants))


class TestFailingFilms:
    def test_a_shard_without_trouble_holds_all_its_films(self, store: DirectoryStore, plan: Plan) -> None:
        tries = Tries()
        assert process_shard(AUGMENT, store, plan, "000001", tries, MAX_TRIES) == ()
        shard = shard_of(store, AUGMENT, plan, "000001")
        assert films_of(shard) == [f"mdb{number:03d}" for number in range(9, 17)]
        assert (shard.dataset, shard.recipe, shard.shard) == ("small", plan.augmentation.id, "000001")
        assert shard.set_aside == ()
        assert tries.begun == {}

    @pytest.mark.parametrize(
        ("error", "code", "message"),
        [
            (NotAMammogram("no breast in it"), "not-a-mammogram", "no breast in it; send one whole mammogram"),
            (UndecodableImage("truncated"), "undecodable-image", "truncated"),
            (ObjectNotFound("raw/film"), "object-not-found", "raw/film: there is no such object in the store"),
            (ZeroDivisionError("by zero"), "internal", "ZeroDivisionError: by zero"),
            (MemoryError("38 GB"), "internal", "MemoryError: 38 GB"),
        ],
        ids=["no mammogram", "undecodable", "missing", "a bug", "too large"],
    )
    def test_a_film_that_always_fails_is_set_aside_with_its_reason_and_the_others_are_done(
        self, store: DirectoryStore, plan: Plan, error: Exception, code: str, message: str
    ) -> None:
        trouble, tries = Trouble(mdb003=[error] * 99), Tries()
        aside = SetAside(film="mdb003", stage="augment", code=code, message=message, tries=MAX_TRIES)
        assert trouble.do(store, plan, tries) == (aside,)
        assert trouble.tried.count("mdb003") == MAX_TRIES
        assert trouble.tried == sorted(trouble.tried)
        shard = shard_of(store, AUGMENT, plan, "000000")
        assert shard.set_aside == (aside,)
        assert films_of(shard) == [film for film in FILMS if film != "mdb003"]
        assert tries.begun == {}

    def test_a_film_that_is_set_aside_tells_its_last_reason(self, store: DirectoryStore, plan: Plan) -> None:
        errors = [ZeroDivisionError("by zero"), MemoryError("1 GB"), MemoryError("2 GB")]
        (aside,) = Trouble(mdb003=list(errors)).do(store, plan)
        assert aside.message == "MemoryError: 2 GB"

    @pytest.mark.parametrize("failures", [1, MAX_TRIES - 1])
    @pytest.mark.parametrize(
        "error", [ZeroDivisionError("by zero"), MemoryError("for a moment")], ids=["a bug", "memory"]
    )
    def test_a_film_that_fails_and_then_works_is_done(
        self, store: DirectoryStore, plan: Plan, error: Exception, failures: int
    ) -> None:
        trouble = Trouble(mdb003=[error] * failures)
        assert trouble.do(store, plan) == ()
        assert trouble.tried.count("mdb003") == failures + 1
        assert films_of(shard_of(store, AUGMENT, plan, "000000")) == FILMS

    def test_a_shard_of_which_every_film_fails_is_done_without_any(self, store: DirectoryStore, plan: Plan) -> None:
        aside = Trouble(**{film: [ZeroDivisionError("by zero")] * 99 for film in FILMS}).do(store, plan)
        assert [film.film for film in aside] == FILMS
        shard = shard_of(store, AUGMENT, plan, "000000")
        assert (shard.variants, shard.set_aside) == ((), aside)
        assert do(SEGMENT, store, plan, "000000") == ()
        assert shard_of(store, SEGMENT, plan, "000000").set_aside == aside


class TestDyingWorkers:
    def test_a_film_with_which_every_worker_died_is_set_aside_without_another_try(
        self, store: DirectoryStore, plan: Plan
    ) -> None:
        trouble, tries = Trouble(), Tries(mdb003=MAX_TRIES)
        (aside,) = trouble.do(store, plan, tries)
        assert (aside.film, aside.code, aside.tries) == ("mdb003", "worker-lost", MAX_TRIES)
        assert "the worker died" in aside.message
        assert trouble.tried == [film for film in FILMS if film != "mdb003"]
        assert tries.begun == {}

    def test_a_film_with_which_workers_died_has_one_try_left(self, store: DirectoryStore, plan: Plan) -> None:
        trouble = Trouble()
        assert trouble.do(store, plan, Tries(mdb003=MAX_TRIES - 1)) == ()
        assert trouble.tried == FILMS
        trouble = Trouble(mdb003=[ZeroDivisionError("by zero")])
        (aside,) = trouble.do(store, plan, Tries(mdb003=MAX_TRIES - 1))
        assert (aside.code, trouble.tried) == ("internal", FILMS)

    def test_a_film_that_kills_its_worker_every_time_stops_nobody_for_ever(
        self, store: DirectoryStore, plan: Plan
    ) -> None:
        class Killed(BaseException):
            """Nothing is noted after it, as when a process is killed."""

        def kill(store: ObjectAccess, plan: Plan, film: Film) -> list[Variant]:
            if film.id == "mdb003":
                raise Killed
            return tiny_stages.augment(store, plan, film)

        tries, deadly = Tries(), replace(AUGMENT, process=kill)
        for _ in range(MAX_TRIES):  # the shard's message comes again every time
            with pytest.raises(Killed):
                process_shard(deadly, store, plan, "000000", tries, MAX_TRIES)
        (aside,) = process_shard(deadly, store, plan, "000000", tries, MAX_TRIES)
        assert (aside.film, aside.code) == ("mdb003", "worker-lost")


class TestOutages:
    @pytest.mark.parametrize(
        "error", [StoreUnavailable("away"), StoreMisconfigured("no bucket"), QueueUnavailable("away")], ids=str
    )
    def test_trouble_of_the_surroundings_is_raised_and_no_film_is_blamed(
        self, store: DirectoryStore, plan: Plan, error: Exception
    ) -> None:
        tries, trouble = Tries(), Trouble(mdb003=[error])
        with pytest.raises(type(error)):
            trouble.do(store, plan, tries)
        assert not any(tries.begun.values())
        assert not store.exists(plan.done_key("augment", "000000"))
        assert trouble.do(store, plan, tries) == ()

    def test_trouble_of_the_surroundings_forgets_no_death_of_a_worker(self, store: DirectoryStore, plan: Plan) -> None:
        tries, trouble = Tries(mdb003=MAX_TRIES), Trouble(mdb003=[StoreUnavailable("away")])
        tries.begun["mdb003"] -= 1
        with pytest.raises(StoreUnavailable):
            trouble.do(store, plan, tries)
        assert tries.begun["mdb003"] == MAX_TRIES - 1

    def test_however_often_the_store_is_away_no_film_is_set_aside(self, store: DirectoryStore, plan: Plan) -> None:
        tries, trouble = Tries(), Trouble(mdb003=[StoreUnavailable("away")] * 10)
        for _ in range(10):
            with pytest.raises(StoreUnavailable):
                trouble.do(store, plan, tries)
        assert trouble.do(store, plan, tries) == ()


class TestRepeat:
    def test_doing_a_finished_shard_again_changes_no_byte(self, store: DirectoryStore, plan: Plan) -> None:
        for way in (AUGMENT, SEGMENT):
            do(way, store, plan, "000000")
        before = contents(store)
        for way in (AUGMENT, SEGMENT):
            do(way, store, plan, "000000")
        assert contents(store) == before

    def test_doing_a_shard_again_that_was_interrupted_ends_as_if_it_had_not_been(
        self, store: DirectoryStore, plan: Plan, tmp_path: Path
    ) -> None:
        with pytest.raises(StoreUnavailable):
            Trouble(mdb005=[StoreUnavailable("away")]).do(store, plan)
        do(AUGMENT, store, plan, "000000")
        undisturbed = DirectoryStore(tmp_path / "undisturbed")
        do(AUGMENT, undisturbed, tiny_stages.stored(undisturbed, plan), "000000")
        assert {key: data for key, data in contents(store).items() if not key.startswith("und")} == contents(
            undisturbed
        )

    def test_a_film_that_was_set_aside_is_done_when_the_shard_is_done_again(
        self, store: DirectoryStore, plan: Plan
    ) -> None:
        Trouble(mdb003=[ZeroDivisionError("by zero")] * 99).do(store, plan)
        assert do(AUGMENT, store, plan, "000000") == ()
        shard = shard_of(store, AUGMENT, plan, "000000")
        assert (films_of(shard), shard.set_aside) == (FILMS, ())

    def test_what_an_earlier_stage_set_aside_is_carried_on_and_told_once(
        self, store: DirectoryStore, plan: Plan
    ) -> None:
        (earlier,) = Trouble(mdb003=[ZeroDivisionError("by zero")] * 99).do(store, plan)

        def segment(store: ObjectAccess, plan: Plan, variants: list[Variant]) -> list[Variant]:
            if variants[0].film == "mdb006":
                raise NotAMammogram("no breast in it")
            return tiny_stages.segment(store, plan, variants)

        (later,) = do(replace(SEGMENT, process=segment), store, plan, "000000")
        assert (later.film, later.stage) == ("mdb006", "segment")
        shard = shard_of(store, SEGMENT, plan, "000000")
        assert shard.set_aside == (earlier, later)
        assert films_of(shard) == [film for film in FILMS if film not in ("mdb003", "mdb006")]


@pytest.fixture
def done(store: DirectoryStore, plan: Plan) -> Plan:
    tiny_stages.do_films(store, plan)
    return plan


def changed(store: ObjectStore, key: str) -> None:
    store.put(key, store.get(key) + b"\0")


def missing(store: ObjectStore, key: str) -> None:
    store.delete(key)


WAYS = pytest.mark.parametrize("way", [AUGMENT, SEGMENT], ids=["augment", "segment"])
HARM = pytest.mark.parametrize("harm", [changed, missing])


class TestIsIntact:
    @WAYS
    def test_a_finished_shard_is_intact_and_an_unfinished_one_is_not(
        self, store: DirectoryStore, plan: Plan, way: ShardStage[Any]
    ) -> None:
        assert not is_intact(way, store, plan, "000000")
        do(AUGMENT, store, plan, "000000")
        do(SEGMENT, store, plan, "000000")
        assert is_intact(way, store, plan, "000000")
        assert not is_intact(way, store, plan, "000001")

    @HARM
    @pytest.mark.parametrize("number", [0, 7, 15])
    @WAYS
    def test_a_shard_with_a_damaged_image_is_not_intact(
        self,
        store: DirectoryStore,
        done: Plan,
        way: ShardStage[Any],
        number: int,
        harm: Callable[[ObjectStore, str], None],
    ) -> None:
        harm(store, shard_of(store, way, done, "000000").variants[number].key)
        assert not is_intact(way, store, done, "000000")
        assert is_intact(way, store, done, "000001")

    @HARM
    def test_a_shard_with_a_damaged_mask_is_not_intact(
        self, store: DirectoryStore, done: Plan, harm: Callable[[ObjectStore, str], None]
    ) -> None:
        mask = shard_of(store, SEGMENT, done, "000000").variants[3].mask_key
        assert mask is not None
        harm(store, mask)
        assert not is_intact(SEGMENT, store, done, "000000")
        assert is_intact(AUGMENT, store, done, "000000")

    @WAYS
    @pytest.mark.parametrize("document", [b"", b"{", b"[]", b"\xff\0", b"{}", None], ids=str)
    def test_a_shard_with_a_damaged_manifest_is_not_intact(
        self, store: DirectoryStore, done: Plan, way: ShardStage[Any], document: bytes | None
    ) -> None:
        whole = store.get(done.done_key(way.stage, "000000"))
        store.put(done.done_key(way.stage, "000000"), whole[:-20] if document is None else document)
        assert not is_intact(way, store, done, "000000")

    def test_a_shard_whose_source_holds_one_film_less_is_not_intact(self, store: DirectoryStore, done: Plan) -> None:
        Trouble(mdb003=[ZeroDivisionError("by zero")] * 99).do(store, done)
        assert is_intact(AUGMENT, store, done, "000000")
        assert not is_intact(SEGMENT, store, done, "000000")
        do(SEGMENT, store, done, "000000")
        assert is_intact(SEGMENT, store, done, "000000")

    def test_a_shard_of_films_of_which_other_things_are_known_now_is_not_intact(
        self, store: DirectoryStore, done: Plan
    ) -> None:
        key = shard_place(store, "000000", done.dataset)
        films = FilmShard.model_validate_json(store.get(key)).films
        store.put(key, FilmShard(films=films[1:]).model_dump_json(indent=1).encode())
        assert not is_intact(AUGMENT, store, done, "000000")
        assert is_intact(SEGMENT, store, done, "000000")  # until its own source is made again

    @HARM
    @WAYS
    def test_a_shard_whose_source_is_damaged_or_gone_is_not_intact(
        self, store: DirectoryStore, done: Plan, way: ShardStage[Any], harm: Callable[[ObjectStore, str], None]
    ) -> None:
        source = done.done_key("augment", "000000") if way is SEGMENT else shard_place(store, "000000", done.dataset)
        harm(store, source)
        assert not is_intact(way, store, done, "000000")

    def test_a_store_that_is_away_does_not_make_a_shard_look_damaged(self, store: DirectoryStore, done: Plan) -> None:
        class Away(DirectoryStore):
            def get(self, key: str) -> bytes:
                if key.endswith(".png"):
                    raise StoreUnavailable("away")
                return super().get(key)

        with pytest.raises(StoreUnavailable):
            is_intact(AUGMENT, Away(store.root), done, "000000")
