"""A shard of films, done film by film: one that can't be processed is set aside after some tries, the others go on."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic

from shared.domain.films import SetAside, Shard, Variant
from shared.errors import ObjectNotFound, ObjectUnreadable
from shared.queue.attempts import AttemptCounter, GivenUp, T, attempt, code_of, text_of
from shared.queue.messages import Stage
from shared.runs.plan import Plan
from shared.store.documents import read_document
from shared.store.interface import ObjectStore
from shared.store.prefetch import ObjectAccess, PrefetchingStore

_READERS = 8


@dataclass(frozen=True)
class ShardInput(Generic[T]):
    """What a shard is made from: something for each film, the digest of it all, and what was set aside before."""

    films: Mapping[str, T]
    sha256: str
    set_aside: tuple[SetAside, ...] = ()


@dataclass(frozen=True)
class ShardStage(Generic[T]):
    """How one stage does a shard: its source, the recipe's id, the work on one film, which stores its images, and the
    keys of what that work will read."""

    stage: Stage
    recipe: Callable[[Plan], str]
    read_source: Callable[[ObjectStore, Plan, str], ShardInput[T]]
    work: Callable[[ObjectAccess, Plan, T], list[Variant]]
    reads: Callable[[Plan, T], Iterable[str]] = lambda _plan, _film: ()


def do_shard(
    way: ShardStage[T], store: ObjectStore, plan: Plan, shard: str, tries: AttemptCounter, max_tries: int
) -> tuple[SetAside, ...]:
    """Does all films of a shard and stores its manifest last; returns the films that were set aside in this stage."""
    source = way.read_source(store, plan, shard)
    variants: list[Variant] = []
    aside: list[SetAside] = []
    films = tuple(source.films.items())
    with PrefetchingStore(store) as files:
        for number, (film, what) in enumerate(films):
            for _, soon in films[number : number + 2]:
                files.expect(way.reads(plan, soon))
            done = _do_film(way, files, plan, film, what, tries, max_tries)
            if isinstance(done, SetAside):
                aside.append(done)
            else:
                variants += done
    manifest = Shard(
        dataset=plan.dataset,
        recipe=way.recipe(plan),
        shard=shard,
        source_sha256=source.sha256,
        variants=tuple(variants),
        set_aside=(*source.set_aside, *aside),
    )
    store.put(plan.done_key(way.stage, shard), manifest.model_dump_json().encode())
    return tuple(aside)


def _do_film(
    way: ShardStage[T], files: ObjectAccess, plan: Plan, film: str, what: T, tries: AttemptCounter, max_tries: int
) -> list[Variant] | SetAside:
    done = attempt(tries, plan.run, way.stage, film, max_tries, lambda: way.work(files, plan, what))
    if isinstance(done, GivenUp):
        reason = done.reason
        return SetAside(film=film, stage=way.stage, code=code_of(reason), message=text_of(reason), tries=max_tries)
    return done


def is_intact(way: ShardStage[T], store: ObjectStore, plan: Plan, shard: str) -> bool:
    """Whether a finished shard was made from what is there today, and every image has the checksum of its manifest."""
    try:
        manifest = read_document(store, plan.done_key(way.stage, shard), Shard)
        return manifest.source_sha256 == way.read_source(store, plan, shard).sha256 and images_are_intact(
            store, manifest
        )
    except (ObjectNotFound, ObjectUnreadable):
        return False


def images_are_intact(store: ObjectStore, manifest: Shard) -> bool:
    """Whether every image that the manifest names is there with its checksum."""
    wanted = [(variant.key, variant.sha256) for variant in manifest.variants]
    wanted += [(v.mask_key, v.mask_sha256) for v in manifest.variants if v.mask_key and v.mask_sha256]

    def matches(image: tuple[str, str]) -> bool:
        try:
            return hashlib.sha256(store.get(image[0])).hexdigest() == image[1]
        except ObjectNotFound:
            return False

    with ThreadPoolExecutor(_READERS) as readers:
        return all(readers.map(matches, wanted))
