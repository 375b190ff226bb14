"""What a batch takes and what it refuses, and that the same request makes it once."""

from pathlib import Path
from typing import Any

import pytest

from shared.api.batches import BatchRequest
from shared.batches.plan import (
    BatchNotFound,
    BatchPlan,
    IdempotencyConflict,
    batch_id,
    make_batch,
    read_batch,
    read_images,
)
from shared.errors import InputError, PlanError, PreconditionFailed
from shared.store import layout
from shared.store.directory import DirectoryStore
from shared.store.interface import ObjectStore

INBOX = "inbox/"


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


def make(store: ObjectStore, batch: str | None = None, **asked: Any) -> BatchPlan:
    request = BatchRequest.model_validate_json(
        BatchRequest.model_construct(**asked).model_dump_json(exclude_unset=True)
    )
    return make_batch(
        store, batch or batch_id("clinic", None), request, INBOX, owner="clinic", network="resnet50", version="v1"
    )


def named(count: int) -> tuple[str, ...]:
    return tuple(f"inbox/{number:06d}.pgm" for number in range(count))


def images_of(store: ObjectStore, plan: BatchPlan) -> list[tuple[int, str]]:
    return [image for part in plan.names() for image in read_images(store, plan, part)]


class TestReadImages:
    def test_a_prefix_is_listed_when_the_batch_is_made(self, store: DirectoryStore) -> None:
        for key in ("inbox/a/2.pgm", "inbox/a/1.pgm", "inbox/a/deeper/3.pgm", "inbox/b/4.pgm", "raw/films/5.pgm"):
            store.put(key, b"film")
        plan = make(store, prefix="inbox/a/")
        store.put("inbox/a/0.pgm", b"too late")
        assert [key for _, key in images_of(store, plan)] == ["inbox/a/1.pgm", "inbox/a/2.pgm", "inbox/a/deeper/3.pgm"]
        assert make(store, prefix="inbox/").images == 5


class TestBatchId:
    def test_the_same_request_makes_one_batch(self, store: DirectoryStore) -> None:
        batch = batch_id("clinic", "order-17")
        first = make(store, batch, keys=named(3))
        assert make(store, batch, keys=named(3)) == first
        assert batch_id("other", "order-17") != batch == batch_id("clinic", "order-17")
        assert batch_id("clinic", None) != batch_id("clinic", None)

    def test_another_request_under_the_same_key_is_told(self, store: DirectoryStore) -> None:
        batch = batch_id("clinic", "order-17")
        make(store, batch, keys=named(3))
        with pytest.raises(IdempotencyConflict, match=batch):
            make(store, batch, keys=named(4))


class TestReadBatch:
    @pytest.mark.parametrize("count", [1, 16, 17, 1024, 1025, 2049])
    def test_every_image_is_in_one_part_and_keeps_its_place(self, store: DirectoryStore, count: int) -> None:
        plan = make(store, keys=named(count))
        assert images_of(store, plan) == list(enumerate(named(count)))
        assert read_batch(store, plan.batch) == plan
        assert len(list(plan.names())) == -(-count // 16)

    def test_of_two_at_a_time_the_one_whose_plan_is_written_counts(
        self, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        batch, put = batch_id("clinic", "order-17"), store.put
        with monkeypatch.context() as patched:

            def put_after_the_other(key: str, data: bytes, **conditions: Any) -> str:
                if key == layout.batch_plan(batch):
                    patched.undo()
                    make(store, batch, prefix="inbox/")
                return put(key, data, **conditions)

            for key in named(2):
                store.put(key, b"film")
            patched.setattr(store, "put", put_after_the_other)
            plan = make(store, batch, prefix="inbox/")
        assert plan == read_batch(store, batch)
        assert len(images_of(store, plan)) == 2
        listings = {key.split("/")[3] for key in store.list(f"batches/{batch}/keys/")}
        assert listings == {plan.listing}

    @pytest.mark.parametrize("batch", ["0" * 32, "", "of", "../access/keys", "x" * 200, "ä" * 32])
    def test_a_batch_that_there_is_not_is_not_found(self, store: DirectoryStore, batch: str) -> None:
        with pytest.raises(BatchNotFound, match="no such batch"):
            read_batch(store, batch)


class TestMakeBatch:
    @pytest.mark.parametrize(
        "key",
        [
            "models/resnet50/v1/model.onnx",
            "access/keys.json",
            "inbox",
            "inboxes/film.pgm",
            "INBOX/film.pgm",
            "/inbox/film.pgm",
            "/etc/passwd",
            "inbox/../access/keys.json",
            "inbox/a/../../access/keys.json",
            "inbox/..",
            "inbox/./film.pgm",
            "inbox//etc/passwd",
            "inbox/a\\..\\..\\access",
            "inbox/a\nb.pgm",
            "inbox/a\x00.pgm",
            "inbox/",
            f"inbox/{'ä' * 600}.pgm",
            "http://example.org/film.pgm",
            "s3://bucket/inbox/film.pgm",
            "file:///inbox/film.pgm",
        ],
    )
    def test_keys_elsewhere_are_refused(self, store: DirectoryStore, key: str) -> None:
        with pytest.raises(InputError, match="is not below inbox/") as refused:
            make(store, keys=("inbox/film.pgm", key))
        assert "keys.json" not in str(refused.value)
        assert list(store.list("batches/")) == []

    @pytest.mark.parametrize(
        "prefix", ["models/", "/", "inbox/../models/", "inboxes/", "inbox//", "../", "s3://bucket/"]
    )
    def test_prefixes_elsewhere_are_refused(self, store: DirectoryStore, prefix: str) -> None:
        with pytest.raises(InputError, match="is not below inbox/"):
            make(store, prefix=prefix)

    def test_half_a_name_is_no_prefix(self, store: DirectoryStore) -> None:
        with pytest.raises(InputError, match="does not end with a slash"):
            make(store, prefix="inbox/a")

    @pytest.mark.parametrize("asked", [{}, {"keys": ()}, {"keys": named(1), "prefix": "inbox/"}, {"keys": ("",)}])
    def test_a_request_names_keys_or_a_prefix(self, store: DirectoryStore, asked: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="BatchRequest"):
            make(store, **asked)

    def test_a_prefix_without_an_image_is_refused(self, store: DirectoryStore) -> None:
        with pytest.raises(InputError, match="no images below this prefix"):
            make(store, prefix="inbox/empty/")

    def test_too_many_images_are_refused_and_nothing_is_left(
        self, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("shared.batches.plan.MOST_BATCH_IMAGES", 3)
        for key in named(4):
            store.put(key, b"film")
        with pytest.raises(InputError, match="more than 3 images"):
            make(store, prefix="inbox/")
        assert list(store.list("batches/")) == []
        store.delete(named(4)[0])
        assert make(store, prefix="inbox/").images == 3

    @pytest.mark.parametrize("part", ["000002", "999999", "2", "-00001", "../../x", ""])
    def test_a_part_that_there_is_not_is_told(self, store: DirectoryStore, part: str) -> None:
        plan = make(store, keys=named(17))
        with pytest.raises(PlanError, match="has no part"):
            plan.span(part)

    def test_a_plan_is_never_overwritten(self, store: DirectoryStore) -> None:
        plan = make(store, keys=named(1))
        with pytest.raises(PreconditionFailed):
            store.put(layout.batch_plan(plan.batch), b"{}", if_absent=True)
