"""The augment worker's unit of work over a real store."""

import hashlib
from pathlib import Path

import numpy as np

from services.augment.tasks import AUGMENT, StoredFilm, augment_film
from shared.domain.films import Shard, Transform
from shared.imaging.formats.decode import decode, encode_png
from shared.runs.shards import is_intact
from shared.store import layout
from shared.store.ingest import stored_manifest
from tests.support.builders import do, film_place, ingested, shard_place


class TestTasks:
    def test_a_shard_holds_all_variants_of_its_films_with_all_that_ties_them_to_their_patient(
        self, tmp_path: Path, synthetic_films: Path
    ) -> None:
        store, plan = ingested(tmp_path, synthetic_films, "demo")

        do(AUGMENT, store, plan, "000001")

        key = layout.augmented_manifest("films", plan.augmentation.id, "000001")
        shard = Shard.model_validate_json(store.get(key))
        films = {film.id: film for film in stored_manifest(store, "films").films[8:16]}
        assert [(v.film, v.variant) for v in shard.variants] == [(film, n) for film in films for n in range(3)]
        for variant in shard.variants:
            film = films[variant.film]
            assert (variant.patient, variant.label, variant.side) == (film.patient, film.label, film.side)
            assert hashlib.sha256(store.get(variant.key)).hexdigest() == variant.sha256
        first = shard.variants[0]
        assert first.transform == Transform()
        original = decode(store.get(film_place(store, first.film))).pixels
        assert np.array_equal(decode(store.get(first.key)).pixels, original)
        assert first.lesions == films[first.film].lesions

    def test_a_film_of_12_bits_keeps_them(self, tmp_path: Path, synthetic_films: Path) -> None:
        store, plan = ingested(tmp_path, synthetic_films)
        film = stored_manifest(store, "films").films[0]
        key = film_place(store, film.id)
        deep = decode(store.get(key)).pixels.astype(np.uint16) * 16 + 5
        data = encode_png(deep)
        store.put(key, data)
        changed_film = film.model_copy(update={"sha256": hashlib.sha256(data).hexdigest()})
        plain, changed = augment_film(store, plan, StoredFilm(changed_film, key))[:2]
        assert np.array_equal(decode(store.get(plain.key)).pixels, deep)
        assert decode(store.get(changed.key)).pixels.max() > 255

    def test_view_exam_and_acquisition_of_a_film_go_with_its_variants(
        self, tmp_path: Path, synthetic_exams: Path
    ) -> None:
        store, plan = ingested(tmp_path, synthetic_exams)
        do(AUGMENT, store, plan, "000000")
        shard = Shard.model_validate_json(store.get(layout.augmented_manifest("films", plan.augmentation.id, "000000")))
        films = {film.id: film for film in stored_manifest(store, "films").films}
        assert {variant.view for variant in shard.variants} == {"CC", "MLO"}
        assert {8, 12} <= {variant.bits for variant in shard.variants} <= {8, 11, 12}
        for variant in shard.variants:
            assert variant.exposure == films[variant.film].exposure

    def test_doing_a_shard_again_writes_the_same_bytes(self, tmp_path: Path, synthetic_films: Path) -> None:
        store, plan = ingested(tmp_path, synthetic_films)
        do(AUGMENT, store, plan, "000000")
        before = {key: store.get(key) for key in store.list("data_augmentation/")}
        do(AUGMENT, store, plan, "000000")
        assert {key: store.get(key) for key in store.list("data_augmentation/")} == before

    def test_a_film_that_is_not_what_was_ingested_is_set_aside_until_it_is_restored(
        self, tmp_path: Path, synthetic_films: Path
    ) -> None:
        store, plan = ingested(tmp_path, synthetic_films)
        key = film_place(store, "mdb003")
        whole = store.get(key)
        store.put(key, whole + b"\0")
        (aside,) = do(AUGMENT, store, plan, "000000")
        assert (aside.film, aside.stage, aside.code) == ("mdb003", "augment", "undecodable-image")
        assert f"restore it, then `mammo retry {plan.run}`" in aside.message
        store.put(key, whole)
        assert do(AUGMENT, store, plan, "000000") == ()
        shard = Shard.model_validate_json(store.get(plan.done_key("augment", "000000")))
        assert {variant.film for variant in shard.variants} == {f"mdb{number:03d}" for number in range(1, 9)}

    def test_a_film_that_is_gone_is_set_aside(self, tmp_path: Path, synthetic_films: Path) -> None:
        store, plan = ingested(tmp_path, synthetic_films)
        store.delete(film_place(store, "mdb003"))
        (aside,) = do(AUGMENT, store, plan, "000000")
        assert (aside.film, aside.code) == ("mdb003", "object-not-found")

    def test_a_shard_is_intact_while_its_images_and_what_is_known_of_its_films_stay(
        self, tmp_path: Path, synthetic_films: Path
    ) -> None:
        store, plan = ingested(tmp_path, synthetic_films)
        do(AUGMENT, store, plan, "000000")
        assert is_intact(AUGMENT, store, plan, "000000")
        image = layout.augmented_image("films", plan.augmentation.id, "mdb003", 1)
        whole = store.get(image)
        store.put(image, whole + b"\0")
        assert not is_intact(AUGMENT, store, plan, "000000")
        store.put(image, whole)
        known = shard_place(store, "000000")
        store.put(known, store.get(known).replace(b'"density": "G"', b'"density": "F"', 1))
        assert not is_intact(AUGMENT, store, plan, "000000")
