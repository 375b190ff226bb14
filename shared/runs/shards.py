"""Processing of a shard, film by film; a film that fails repeatedly is set aside."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic

from shared.digests import sha256_hex
from shared.domain.films import SetAside, Shard, Variant
from shared.errors import ObjectNotFound, ObjectUnreadable
from shared.queue.attempts import AttemptCounter, GivenUp, T, attempt, code_of, text_of
from shared.queue.messages import Stage
from shared.runs.plan import Plan
from shared.store.documents import document, read_document
from shared.store.interface import ObjectStore
from shared.store.prefetch import ObjectAccess, PrefetchingStore

_READERS = 8


@dataclass(frozen=True)
class ShardInput(Generic[T]):
    """Input of a shard: one item per film, their digest, and films that were set aside earlier."""

    films: Mapping[str, T]
    sha256: str
    set_aside: tuple[SetAside, ...] = ()


@dataclass(frozen=True)
class ShardStage(Generic[T]):
    """Definition of a stage that processes shards.

    Attributes:
        recipe: returns the id of the stage's recipe.
        read_input: reads the input of a shard.
        process: processes one film and stores its images.
        reads: returns the keys that `process` will read, for prefetching.
    """

    stage: Stage
    recipe: Callable[[Plan], str]
    read_input: Callable[[ObjectStore, Plan, str], ShardInput[T]]
    process: Callable[[ObjectAccess, Plan, T], list[Variant]]
    reads: Callable[[Plan, T], Iterable[str]] = lambda _plan, _film: ()


def process_shard(
    stage: ShardStage[T], store: ObjectStore, plan: Plan, shard: str, tries: AttemptCounter, max_tries: int
) -> tuple[SetAside, ...]:
    """Process all films of a shard and store its manifest last; return the films set aside."""
    shard_input = stage.read_input(store, plan, shard)
    variants: list[Variant] = []
    aside: list[SetAside] = []
    films = tuple(shard_input.films.items())
    with PrefetchingStore(store) as files:
        for number, (film, item) in enumerate(films):
            for _, upcoming in films[number : number + 2]:
                files.expect(stage.reads(plan, upcoming))
            result = _process_film(stage, files, plan, film, item, tries, max_tries)
            if isinstance(result, SetAside):
                aside.append(result)
            else:
                variants += result
    manifest = Shard(
        dataset=plan.dataset,
        recipe=stage.recipe(plan),
        shard=shard,
        source_sha256=shard_input.sha256,
        variants=tuple(variants),
        set_aside=(*shard_input.set_aside, *aside),
    )
    store.put(plan.done_key(stage.stage, shard), document(manifest))
    return tuple(aside)


def _process_film(
    stage: ShardStage[T], files: ObjectAccess, plan: Plan, film: str, item: T, tries: AttemptCounter, max_tries: int
) -> list[Variant] | SetAside:
    result = attempt(tries, plan.run, stage.stage, film, max_tries, lambda: stage.process(files, plan, item))
    if isinstance(result, GivenUp):
        reason = result.reason
        return SetAside(film=film, stage=stage.stage, code=code_of(reason), message=text_of(reason), tries=max_tries)
    return result


def is_intact(stage: ShardStage[T], store: ObjectStore, plan: Plan, shard: str) -> bool:
    """Return True if a shard was made from its current input and its images are intact."""
    try:
        manifest = read_document(store, plan.done_key(stage.stage, shard), Shard)
        return manifest.source_sha256 == stage.read_input(store, plan, shard).sha256 and images_are_intact(
            store, manifest
        )
    except (ObjectNotFound, ObjectUnreadable):
        return False


def images_are_intact(store: ObjectStore, manifest: Shard) -> bool:
    """Return True if every image of the manifest exists with its checksum."""
    images = [(variant.key, variant.sha256) for variant in manifest.variants]
    images += [(v.mask_key, v.mask_sha256) for v in manifest.variants if v.mask_key and v.mask_sha256]

    def matches(image: tuple[str, str]) -> bool:
        try:
            return sha256_hex(store.get(image[0])) == image[1]
        except ObjectNotFound:
            return False

    with ThreadPoolExecutor(_READERS) as readers:
        return all(readers.map(matches, images))
