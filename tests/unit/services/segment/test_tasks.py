"""The segment worker's core and its unit of work over a real store."""

from pathlib import Path

import numpy as np
import pytest

from services.augment.tasks import AUGMENT
from services.segment.core import segment_image
from services.segment.tasks import SEGMENT
from shared.datasets.synthetic import draw
from shared.domain.films import Shard
from shared.errors import NotAMammogram
from shared.imaging.formats.decode import decode, encode_png
from shared.imaging.image import Pixels
from shared.imaging.segmentation.segment import Segmentation, segment
from shared.runs.plan import Plan
from shared.runs.shards import is_intact
from shared.store import layout
from shared.store.directory import DirectoryStore
from tests.support.builders import do, film_place, ingested


@pytest.fixture
def augmented(tmp_path: Path, synthetic_films: Path) -> tuple[DirectoryStore, Plan]:
    store, plan = ingested(tmp_path, synthetic_films)
    do(AUGMENT, store, plan, "000000")
    return store, plan


def shard_of(store: DirectoryStore, plan: Plan) -> Shard:
    key = layout.segmented_manifest("films", plan.augmentation.segmented_id, "000000")
    return Shard.model_validate_json(store.get(key))


class TestTasks:
    def test_film_and_mask_are_stored_oriented_with_the_chest_wall_on_the_left(
        self,
        augmented: tuple[DirectoryStore, Plan],
    ) -> None:
        store, plan = augmented
        do(SEGMENT, store, plan, "000000")
        shard = shard_of(store, plan)
        assert len(shard.variants) == 16
        for variant in shard.variants:
            assert variant.mask_key is not None
            film, mask = (decode(store.get(key)).pixels for key in (variant.key, variant.mask_key))
            assert set(np.unique(mask)) == {0, 255}
            assert not film[mask == 0].any()
            columns = np.flatnonzero(mask.any(axis=0))
            assert columns.mean() < film.shape[1] / 2, variant.id

    def test_view_exam_and_acquisition_go_with_a_segmented_image(
        self,
        augmented: tuple[DirectoryStore, Plan],
    ) -> None:
        store, plan = augmented
        key = layout.augmented_manifest("films", plan.augmentation.id, "000000")
        shard = Shard.model_validate_json(store.get(key))
        taken = {"view": "CC", "exam": "e1", "acquisition": "digital", "vendor": "GE", "bits": 12}
        taken |= {"spacing": (0.07, 0.07), "group": "site 1", "official_split": "test"}
        variants = tuple(variant.model_copy(update=taken) for variant in shard.variants)
        store.put(key, shard.model_copy(update={"variants": variants}).model_dump_json().encode())
        do(SEGMENT, store, plan, "000000")
        assert [variant.exposure for variant in shard_of(store, plan).variants] == [taken] * len(variants)

    def test_lesions_follow_the_film_when_it_is_mirrored(self, augmented: tuple[DirectoryStore, Plan]) -> None:
        store, plan = augmented
        key = layout.augmented_manifest("films", plan.augmentation.id, "000000")
        before = {v.id: v for v in Shard.model_validate_json(store.get(key)).variants}
        do(SEGMENT, store, plan, "000000")
        placed = 0
        for variant in shard_of(store, plan).variants:
            film = decode(store.get(variant.key)).pixels[:, :: -1 if variant.flipped else 1]
            source = decode(store.get(before[variant.id].key)).pixels
            inside = film > 0
            assert np.array_equal(film[inside], source[inside])
            for old, new in zip(before[variant.id].lesions, variant.lesions, strict=True):
                if old.x is not None:
                    assert new.x == pytest.approx(1024 - old.x if variant.flipped else old.x)
                    placed += 1
        assert placed > 0

    def test_a_damaged_augmented_film_is_noticed(self, augmented: tuple[DirectoryStore, Plan]) -> None:
        store, plan = augmented
        key = next(key for key in store.list("data_augmentation/") if key.endswith("003/000.png"))
        store.put(key, store.get(key) + b"\0")
        (aside,) = do(SEGMENT, store, plan, "000000")
        assert (aside.film, aside.stage, aside.code) == (key.split("/")[-2], "segment", "undecodable-image")
        assert "is not what the augment worker wrote" in aside.message
        shard = shard_of(store, plan)
        assert {variant.film for variant in shard.variants} == {f"mdb{number:03d}" for number in range(1, 9)} - {
            aside.film
        }
        assert shard.set_aside == (aside,)

    def test_what_the_augment_worker_set_aside_is_set_aside_here_too(
        self,
        augmented: tuple[DirectoryStore, Plan],
    ) -> None:
        store, plan = augmented
        store.delete(film_place(store, "mdb003"))
        (aside,) = do(AUGMENT, store, plan, "000000")
        assert do(SEGMENT, store, plan, "000000") == ()
        shard = shard_of(store, plan)
        assert shard.set_aside == (aside,)
        assert "mdb003" not in {variant.film for variant in shard.variants}

    def test_a_shard_is_intact_until_an_image_a_mask_or_its_source_changes(
        self,
        augmented: tuple[DirectoryStore, Plan],
    ) -> None:
        store, plan = augmented
        do(SEGMENT, store, plan, "000000")
        assert is_intact(SEGMENT, store, plan, "000000")
        variant = shard_of(store, plan).variants[5]
        for key in (variant.key, variant.mask_key):
            assert key is not None
            whole = store.get(key)
            store.delete(key)
            assert not is_intact(SEGMENT, store, plan, "000000")
            store.put(key, whole)
        source = plan.done_key("augment", "000000")
        made_of = Shard.model_validate_json(store.get(source))
        fewer = tuple(variant for variant in made_of.variants if variant.film != "mdb003")
        store.put(source, made_of.model_copy(update={"variants": fewer}).model_dump_json().encode())
        assert not is_intact(SEGMENT, store, plan, "000000")

    def test_doing_a_shard_again_writes_the_same_bytes(self, augmented: tuple[DirectoryStore, Plan]) -> None:
        store, plan = augmented
        do(SEGMENT, store, plan, "000000")
        before = {key: store.get(key) for key in store.list("data_segmentation/")}
        do(SEGMENT, store, plan, "000000")
        assert {key: store.get(key) for key in store.list("data_segmentation/")} == before

    def test_a_blank_frame_is_no_mammogram(self) -> None:
        with pytest.raises(NotAMammogram):
            segment_image(encode_png(np.zeros((256, 256), np.uint8)))

    def test_a_stored_film_of_16_bits_has_the_depth_of_its_film_and_not_that_of_its_brightest_pixel(
        self,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        depths: list[int] = []

        def seen(pixels: Pixels, bits: int, view: str | None) -> Segmentation:
            depths.append(bits)
            return segment(pixels, bits, view)

        monkeypatch.setattr("services.segment.core.segment", seen)
        film = draw(1, seed=3).pixels
        for bits in (12, 8, None):
            segment_image(encode_png(film.astype(np.uint16) * 4), bits)
        segment_image(encode_png(film), 12)
        assert depths[0] == 12
        assert depths[1] == depths[2] <= 10, "told from the pixels"
        assert depths[3] == 8
