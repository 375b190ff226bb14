"""What training sees is what serving does: the stored films as network inputs, checked against the serving path."""

import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.augment.tasks import AUGMENT
from services.segment.tasks import SEGMENT
from services.train.data.inputs import load_images, load_place_labels, read_segmented
from shared.domain.films import Shard
from shared.domain.records import CLASSES
from shared.errors import StoreError, StoreUnavailable
from shared.imaging.formats.decode import decode, encode_png
from shared.imaging.preprocess import Preprocessing, network_input, prepare, prepare_image
from shared.runs.plan import Plan
from shared.store.directory import DirectoryStore
from tests.support.builders import do, film_place, ingested

PREPROCESSING = Preprocessing(size=64)


@pytest.fixture
def segmented(tmp_path: Path, synthetic_films: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[DirectoryStore, Plan]:
    """Arrays of inputs go into a folder of the test's own."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    store, plan = ingested(tmp_path / "store", synthetic_films)
    for shard in plan.names("augment"):
        do(AUGMENT, store, plan, shard)
        do(SEGMENT, store, plan, shard)
    return store, plan


class TestReadSegmented:
    def test_training_gets_the_pixels_that_serving_makes_of_exams_whose_views_are_stated(
        self, tmp_path: Path, synthetic_exams: Path
    ) -> None:
        store, plan = ingested(tmp_path, synthetic_exams)
        do(AUGMENT, store, plan, "000000")
        do(SEGMENT, store, plan, "000000")
        document = store.get(next(plan.units("segment")).done_key)
        originals = [image for image in Shard.model_validate_json(document).variants if image.variant == 0]
        assert {(image.view, image.bits) for image in originals} >= {("CC", 8), ("MLO", 12)}
        for image in originals:
            film, mask = read_segmented(store, image)
            raw = decode(store.get(film_place(store, image.film)))
            served = prepare_image(replace(raw, view=image.view), PREPROCESSING)
            assert np.array_equal(network_input(film.pixels, mask, PREPROCESSING), served.input), image.id
            assert film.bits == raw.bits == image.bits


class TestLoadImages:
    def test_training_gets_the_very_pixels_that_serving_makes_of_the_raw_film(
        self,
        segmented: tuple[DirectoryStore, Plan],
    ) -> None:
        store, plan = segmented
        images = load_images(store, plan, PREPROCESSING)
        originals = [index for index, variant in enumerate(images.variants) if variant.variant == 0]
        assert len(originals) == 16
        for index in originals:
            raw = store.get(film_place(store, images.variants[index].film))
            assert np.array_equal(images.inputs[index], prepare(raw, PREPROCESSING).input)

    def test_examples_carry_the_class_of_their_film(self, segmented: tuple[DirectoryStore, Plan]) -> None:
        store, plan = segmented
        images = load_images(store, plan, PREPROCESSING)
        chosen = np.array([3, 0, 12])
        examples = images.examples(chosen)
        assert [CLASSES[label] for label in examples.labels] == [images.variants[index].label for index in chosen]
        assert np.array_equal(examples.inputs, images.inputs[chosen])

    def test_a_film_of_16_bits_keeps_its_depth(self, segmented: tuple[DirectoryStore, Plan]) -> None:
        store, plan = segmented
        unit = next(plan.units("segment"))
        shard = Shard.model_validate_json(store.get(unit.done_key))
        first, *rest = shard.variants
        eight = decode(store.get(first.key)).pixels
        noise = np.random.default_rng(1).integers(0, 256, eight.shape, np.uint16)
        deep = np.where(eight > 0, eight.astype(np.uint16) * 256 + noise, 0).astype(np.uint16)
        store.put(first.key, document := encode_png(deep))
        changed = first.model_copy(update={"sha256": hashlib.sha256(document).hexdigest()})
        store.put(unit.done_key, shard.model_copy(update={"variants": (changed, *rest)}).model_dump_json().encode())

        seen = load_images(store, plan, PREPROCESSING).inputs[0]
        mask = decode(store.get(first.mask_key)).pixels.astype(np.uint8)
        assert np.array_equal(seen, network_input(deep, mask, PREPROCESSING))
        assert not np.array_equal(seen, network_input(eight, mask, PREPROCESSING))

    def test_an_image_that_was_changed_is_not_trained_on(self, segmented: tuple[DirectoryStore, Plan]) -> None:
        store, plan = segmented
        key = next(key for key in store.list("data_segmentation/") if key.endswith("mask.png"))
        store.put(key, store.get(key) + b"\0")
        with pytest.raises(StoreError, match="is not what the segment worker wrote"):
            load_images(store, plan, PREPROCESSING)

    def test_images_are_named_by_a_digest_that_changes_with_them(self, segmented: tuple[DirectoryStore, Plan]) -> None:
        store, plan = segmented
        before = load_images(store, plan, PREPROCESSING)
        assert load_images(store, plan, PREPROCESSING).sha256 == before.sha256
        assert before.set_aside == {}
        store.delete(film_place(store, "mdb010"))
        (aside,) = do(AUGMENT, store, plan, "000001")
        do(SEGMENT, store, plan, "000001")
        after = load_images(store, plan, PREPROCESSING)
        assert after.sha256 != before.sha256
        assert after.set_aside == {"000001": (aside,)}
        assert {variant.film for variant in before.variants} - {variant.film for variant in after.variants} == {
            "mdb010"
        }

    def test_inputs_of_a_large_data_set_are_rounded_and_read_from_one_object_a_shard(
        self, segmented: tuple[DirectoryStore, Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, plan = segmented
        exact = load_images(store, plan, PREPROCESSING)
        large = plan.model_copy(update={"large": True})
        rounded = load_images(store, large, PREPROCESSING)
        chosen = np.arange(len(exact.variants))
        assert rounded.inputs.dtype == np.uint8
        assert abs(rounded.read(chosen) - exact.read(chosen)).max() <= 0.5001 / 255
        assert np.array_equal(rounded.examples(chosen).inputs, rounded.read(chosen))
        assert len(list(store.list(f"runs/{plan.run}/inputs/"))) == plan.count("segment")
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # another machine, which reads no film
        for key in list(store.list("data_segmentation/")):
            if key.endswith(".png"):
                store.delete(key)
        assert np.array_equal(load_images(store, large, PREPROCESSING).inputs, rounded.inputs)

    def test_those_of_films_of_more_bits_are_rounded_to_16(
        self, tmp_path: Path, synthetic_exams: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        store, plan = ingested(tmp_path / "store", synthetic_exams)
        do(AUGMENT, store, plan, "000000")
        do(SEGMENT, store, plan, "000000")
        plan = plan.model_copy(update={"films": 8, "parts": ()})
        exact = load_images(store, plan, PREPROCESSING)
        rounded = load_images(store, plan.model_copy(update={"large": True}), PREPROCESSING)
        assert rounded.inputs.dtype == np.uint16
        chosen = np.arange(len(exact.variants))
        assert abs(rounded.read(chosen) - exact.read(chosen)).max() <= 0.5001 / 65535

    def test_a_shard_that_is_gone_is_waited_for(self, segmented: tuple[DirectoryStore, Plan]) -> None:
        store, plan = segmented
        store.delete(plan.done_key("segment", "000001"))
        with pytest.raises(StoreUnavailable, match=f"000001.json is missing; .*mammo resume {plan.run}") as gone:
            load_images(store, plan, PREPROCESSING)
        assert gone.value.retryable

    def test_the_store_is_read_once_for_all_jobs_of_a_data_set(self, segmented: tuple[DirectoryStore, Plan]) -> None:
        store, plan = segmented
        before = load_images(store, plan, PREPROCESSING).inputs.copy()
        for key in list(store.list("data_segmentation/")):
            if key.endswith(".png"):
                store.delete(key)
        again = load_images(DirectoryStore(store.root), plan, PREPROCESSING)  # as another worker of the machine would
        assert np.array_equal(again.inputs, before)
        with pytest.raises(StoreError):
            load_images(store, plan, Preprocessing(size=80))


class TestLoadPlaceLabels:
    def test_the_places_of_lesions_are_where_the_network_sees_them_whatever_moved_the_film(
        self,
        segmented: tuple[DirectoryStore, Plan],
    ) -> None:
        store, plan = segmented
        images = load_images(store, plan, PREPROCESSING)
        places = load_place_labels(store, images, 16)
        seen = images.inputs[:, 0].reshape(-1, 16, 4, 16, 4).mean(axis=(2, 4))
        with_lesions = [index for index, image in enumerate(images.variants) if image.lesions]
        placed = [index for index in with_lesions if (places[index] > 0).any()]
        assert any(images.variants[index].variant for index in placed)
        for index in placed:
            lesion, rest = places[index] > 0, (places[index] == 0) & (seen[index] > 0)
            assert seen[index][lesion].mean() > seen[index][rest].mean() + 0.1
        for index in set(range(len(images.variants))) - set(with_lesions):
            assert (places[index] == 0).all()
