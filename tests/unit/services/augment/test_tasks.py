"""The augment worker's unit of work over a real store."""

import hashlib
from pathlib import Path

import numpy as np

from services.augment.tasks import augment_shard
from shared.datasets.manifest import Shard, Transform
from shared.imaging.decode import decode
from shared.store import keys
from shared.store.ingest import read_dataset
from tests.builders import ingested


def test_a_shard_holds_all_variants_of_its_films_with_all_that_ties_them_to_their_patient(
    tmp_path: Path, synthetic_films: Path
) -> None:
    store, plan = ingested(tmp_path, synthetic_films, "demo")

    augment_shard(store, plan, "000001")

    key = keys.augmented_manifest("films", plan.augmentation.id, "000001")
    shard = Shard.model_validate_json(store.get(key))
    films = {film.id: film for film in read_dataset(store, "films").films[8:16]}
    assert [(v.film, v.variant) for v in shard.variants] == [(film, n) for film in films for n in range(3)]
    for variant in shard.variants:
        film = films[variant.film]
        assert (variant.patient, variant.label, variant.side) == (film.patient, film.label, film.side)
        assert hashlib.sha256(store.get(variant.key)).hexdigest() == variant.sha256
    first = shard.variants[0]
    assert first.transform == Transform()
    original = decode(store.get(keys.raw_film("films", first.film))).pixels
    assert np.array_equal(decode(store.get(first.key)).pixels, original)
    assert first.lesions == films[first.film].lesions


def test_doing_a_shard_again_writes_the_same_bytes(tmp_path: Path, synthetic_films: Path) -> None:
    store, plan = ingested(tmp_path, synthetic_films)
    augment_shard(store, plan, "000000")
    before = {key: store.get(key) for key in store.list("data_augmentation/")}
    augment_shard(store, plan, "000000")
    assert {key: store.get(key) for key in store.list("data_augmentation/")} == before
