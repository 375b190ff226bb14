"""What is removed is old and nothing refers to it: over both kinds of stores, and whatever happens meanwhile."""

from pathlib import Path

import pytest

from shared.batches.plan import BatchPlan
from shared.datasets.sources import open_source
from shared.datasets.synthetic import write_dataset
from shared.domain.films import Dataset, version_of
from shared.errors import DatasetError, ObjectOfLaterRelease, ObjectUnreadable, StoreMisconfigured
from shared.retention.collection import find_unreferenced, group_of, remove, store_time
from shared.runs.plan import Plan
from shared.store import layout, models
from shared.store.directory import DirectoryStore
from shared.store.ingest import begin, film_key, ingest, shard_key
from shared.store.ingest_units import do_unit
from shared.store.interface import ObjectStore
from shared.store.objects import open_store
from tests.support import external
from tests.support.builders import model_card, small_plan
from tests.support.policies import allows
from tests.support.stores import AgedStore, contents, new_bucket, settings_for

OLD, LIMIT, YOUNG = 1000.0, 2000.0, 3000.0


@pytest.fixture(params=["directory", pytest.param("s3", marks=pytest.mark.external)])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AgedStore:
    found: ObjectStore = DirectoryStore(tmp_path / "store")
    if request.param == "s3":
        import boto3

        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "tests")
        endpoint = request.getfixturevalue("s3_endpoint")
        bucket = new_bucket(boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1"))
        found = open_store(settings_for(f"s3://{bucket}/prefix", endpoint))
    aged = AgedStore(found)
    aged.now = OLD
    return aged


def put(store: AgedStore, *keys: str) -> None:
    for key in keys:
        store.put(key, b"12345")


def planned(store: AgedStore, **changes: object) -> Plan:
    """A run with its images, results and a failure."""
    plan = small_plan(**changes)
    store.put(layout.run_plan(plan.run), plan.model_dump_json().encode())
    put(store, *images_of(plan), layout.fold_file(plan.run, "resnet50/patient/fold-0", "result.json"))
    put(store, layout.failure(plan.run, "augment", "mdb001"))
    return plan


def images_of(plan: Plan) -> list[str]:
    return [
        layout.augmented_image(plan.dataset, plan.augmentation.id, "mdb001", 0),
        layout.augmented_manifest(plan.dataset, plan.augmentation.id, "000000"),
        layout.segmented_image(plan.dataset, plan.augmentation.segmented_id, "mdb001", 0),
        layout.segmented_manifest(plan.dataset, plan.augmentation.segmented_id, "000000"),
    ]


def places(store: AgedStore, before: float = LIMIT) -> list[str]:
    return [each.group.place for each in find_unreferenced(store, before)]


def grow(store: AgedStore, folder: Path) -> Dataset:
    """Ingest a data set, and a second version of it, which adds two films."""
    for patients in (1, 2):
        write_dataset(folder / "films", patients)
        ingested = ingest(store, open_source(folder / "films"), "films")
    return ingested.dataset


def batch(name: str, **changes: str) -> BatchPlan:
    known = {"batch": name, "owner": "o", "created": "c", "network": "resnet50", "version": "v9", "asked": "a"}
    return BatchPlan(**{**known, **changes}, operating_point="x", explain=None, images=1, part_images=1, listing="l")


class TestStoreTime:
    def test_it_is_that_of_an_object_of_which_nothing_stays(self, store: AgedStore) -> None:
        store.now = YOUNG
        assert store_time(store) == YOUNG
        assert contents(store) == {}

    def test_the_object_of_a_killed_process_is_found(self, store: AgedStore) -> None:
        def die(key: str) -> None:
            raise KeyboardInterrupt(key)

        store.before_deletion = die
        with pytest.raises(KeyboardInterrupt):
            store_time(store)
        assert places(store) == ["runs/gc-clock/"]

    def test_the_policy_of_operators_allows_that_object(self, store: AgedStore) -> None:
        keys = list[str]()
        store.before_deletion = keys.append
        store_time(store)
        assert [allows("operator", method, keys[0], "") for method in ("PUT", "HEAD", "DELETE")] == [True] * 3


class TestFound:
    def test_what_is_referred_to_stays(self, store: AgedStore, synthetic_films: Path) -> None:
        ingest(store, open_source(synthetic_films), "films")
        weights = layout.weights("a" * 64, "resnet50.pth")
        put(store, weights)
        plan = planned(store, weights={"resnet50": weights})
        models.publish(store, model_card(version=plan.run), {"model.onnx": b"1"})
        models.publish(store, model_card(version="served"), {"model.onnx": b"2"})
        models.promote(store, "resnet50", "served", models.MoveReason(by="t", why="t"), force=True)
        models.publish(store, model_card(version="v9"), {"model.onnx": b"3"})
        store.put(layout.batch_plan("b1"), batch("b1").model_dump_json().encode())
        put(store, layout.batch_part("b1", "000000"), "batches/of/o/20260101T000000000000-b1")
        put(store, layout.api_keys(), "gateway/inbox/s/f.dcm", "failed/gateway/exam/x.json", "inbox/film.pgm")
        assert places(store) == []

    def test_an_evaluation_keeps_its_model_and_a_run_what_it_made(self, store: AgedStore) -> None:
        external.published(store)
        external.known_films(store, "clinic", external.others())
        plan = external.planned(store)
        put(store, "evaluations/gone/films/000000.json")
        assert places(store) == ["evaluations/gone/"]
        store.put(layout.evaluation_plan(plan.evaluation), plan.model_dump_json().encode())
        store.delete(layout.run_plan(models.read_card(store, external.NETWORK, external.VERSION).run))
        assert f"models/{external.NETWORK}/{external.VERSION}/" not in places(store)
        store.delete(layout.evaluation_plan(plan.evaluation))
        assert f"models/{external.NETWORK}/{external.VERSION}/" in places(store)

    def test_what_nothing_refers_to_is_found_with_its_size(self, store: AgedStore) -> None:
        plan = small_plan()
        put(store, *images_of(plan))
        put(store, "runs/gone/training/x/result.json", "failed/gone/augment/mdb001.json", layout.weights("b" * 64, "w"))
        put(store, "models/resnet50/v0/abc/model.onnx", "models/resnet50/v0/abc/model.pt")
        put(store, "raw/films/1234/films/a.pgm", "batches/b2/parts/000000.jsonl", "batches/of/o/20260101-b2")
        found = {each.group.place: (each.objects, each.size) for each in find_unreferenced(store, LIMIT)}
        assert found == {
            layout.augmented_images(plan.dataset, plan.augmentation.id): (2, 10),
            layout.segmented_images(plan.dataset, plan.augmentation.segmented_id): (2, 10),
            "runs/gone/": (1, 5),
            "failed/gone/": (1, 5),
            f"weights/{'b' * 64}/": (1, 5),
            "models/resnet50/v0/": (2, 10),
            "raw/films/1234/": (1, 5),
            "batches/b2/": (1, 5),
            "batches/of/o/20260101-b2": (1, 5),
        }

    def test_one_young_object_keeps_its_group(self, store: AgedStore) -> None:
        put(store, "runs/gone/training/x/result.json", "runs/other/training/x/result.json")
        store.now = YOUNG
        put(store, "runs/gone/training/y/result.json")
        assert places(store) == ["runs/other/"]

    def test_an_ingest_that_was_superseded_is_found_and_the_films_of_the_data_set_are_not(
        self, store: AgedStore, synthetic_films: Path
    ) -> None:
        ingest(store, open_source(synthetic_films), "films")
        put(store, "raw/films/abandoned/units/000000.json", "raw/films/abandoned/films/x-0.pgm")
        assert places(store) == ["raw/films/abandoned/"]

    def test_the_films_of_all_versions_of_a_data_set_stay(self, store: AgedStore, tmp_path: Path) -> None:
        grow(store, tmp_path)
        assert places(store) == []

    @pytest.mark.parametrize(
        ("number", "advice"),
        [(1, "deleted; restore it from a backup"), (2, "run `mammo ingest SOURCE --dataset films` again, or restore")],
    )
    def test_nothing_is_found_while_a_shard_of_a_version_is_missing(
        self, store: AgedStore, tmp_path: Path, number: int, advice: str
    ) -> None:
        version = version_of(grow(store, tmp_path), number)
        assert version
        lost = shard_key(version, "000000")
        store.delete_inside(lost)
        with pytest.raises(DatasetError) as refusal:
            find_unreferenced(store, LIMIT)
        assert f"data set 'films': {lost} is missing" in str(refusal.value)
        assert advice in str(refusal.value)

    def test_an_ingest_makes_a_missing_shard_again(self, store: AgedStore, tmp_path: Path) -> None:
        newest = grow(store, tmp_path)
        store.delete_inside(shard_key(newest, "000000"))
        ingest(store, open_source(tmp_path / "films"), "films")
        assert places(store) == []

    @pytest.mark.parametrize(
        ("document", "error"),
        [(b"{", ObjectUnreadable), (b'{"schema_number": 99}', ObjectOfLaterRelease)],
    )
    def test_nothing_is_found_while_a_record_can_not_be_read(
        self, store: AgedStore, document: bytes, error: type[Exception]
    ) -> None:
        put(store, *images_of(small_plan()))
        store.put(layout.run_plan("r"), document)
        with pytest.raises(error):
            find_unreferenced(store, LIMIT)


class TestRemoved:
    def test_the_marks_go_first_and_all_of_it_goes(self, store: AgedStore) -> None:
        plan, deleted = small_plan(), list[str]()
        put(store, *images_of(plan), "inbox/film.pgm")
        store.before_deletion = deleted.append
        removal = remove(store, find_unreferenced(store, LIMIT), LIMIT)
        assert (removal.objects, removal.size, removal.kept) == (4, 20, [])
        assert ["/manifests/" in key for key in deleted] == [True, False, True, False]
        assert set(contents(store)) == {"inbox/film.pgm"}

    def test_what_a_run_uses_by_now_stays(self, store: AgedStore) -> None:
        plan = small_plan()
        put(store, *images_of(plan))
        found = find_unreferenced(store, LIMIT)
        store.now = YOUNG
        store.put(layout.run_plan(plan.run), plan.model_dump_json().encode())
        removal = remove(store, found, LIMIT)
        assert removal.objects == 0
        assert len(removal.kept) == len(found) == 2
        assert set(images_of(plan)) <= set(contents(store))

    def test_what_an_alias_names_by_now_stays(self, store: AgedStore) -> None:
        for version in ("v1", "v2"):
            models.publish(store, model_card(version=version), {"model.onnx": version.encode()})
        found = find_unreferenced(store, LIMIT)

        def promote(key: str) -> None:
            if key == layout.model_card("resnet50", "v1"):
                store.now = YOUNG
                models.promote(store, "resnet50", "v2", models.MoveReason(by="t", why="t"), force=True)

        store.before_deletion = promote
        removal = remove(store, found, LIMIT)
        assert [group.place for group in removal.kept] == ["models/resnet50/v2/"]
        assert models.read_file(store, models.read_card(store, "resnet50", "v2"), "model.onnx") == b"v2"

    def test_an_object_that_is_written_between_listing_and_deletion_stays(self, store: AgedStore) -> None:
        """Of a group that another process begins to fill, while its objects are being deleted."""
        keys = [f"runs/gone/training/{number}/result.json" for number in range(4)]
        put(store, *keys)
        found = find_unreferenced(store, LIMIT)

        def write(key: str) -> None:
            store.now = YOUNG
            if key == keys[1]:
                put(store, keys[2])

        store.before_deletion = write
        removal = remove(store, found, LIMIT)
        assert removal.objects == 2
        assert [group.place for group in removal.kept] == ["runs/gone/"]
        assert set(contents(store)) == {keys[2], keys[3]}

    def test_a_run_that_begins_during_the_removal_finds_no_shard_done(self, store: AgedStore) -> None:
        plan, seen = small_plan(), list[bool]()
        put(store, *images_of(plan))

        def look(key: str) -> None:
            if not key.endswith(".json"):
                prefix = key.rsplit("/", 2)[0]
                seen.append(any(store.list(f"{prefix}/manifests/")))

        store.before_deletion = look
        remove(store, find_unreferenced(store, LIMIT), LIMIT)
        assert seen == [False, False]

    def test_a_run_that_begins_and_looks_just_before_a_mark_goes_keeps_the_images_that_it_saw(
        self, store: AgedStore
    ) -> None:
        plan, seen = small_plan(), list[bool]()
        put(store, *images_of(plan))
        found = find_unreferenced(store, LIMIT)

        def begin_run(mark: str) -> None:
            store.now = YOUNG
            store.put(layout.run_plan(plan.run), plan.model_dump_json().encode())
            seen.append(store.exists(mark))

        store.before_deletion = begin_run
        removal = remove(store, found, LIMIT)
        assert seen == [True]
        assert removal.kept == [each.group for each in found]
        assert [key for key in images_of(plan) if not store.exists(key)] == [images_of(plan)[1]]

    def test_an_ingest_that_is_repeated_after_a_removal_that_was_killed_stores_its_films_again(
        self, store: AgedStore, synthetic_films: Path
    ) -> None:
        source = open_source(synthetic_films)
        begun = begin(store, source, "films", None)
        for unit in begun.units:
            do_unit(store, begun, unit)

        def die(key: str) -> None:
            if len(set(store.list(layout.raw("films")))) < before - 2:
                raise KeyboardInterrupt(key)

        before, store.before_deletion = len(set(store.list(layout.raw("films")))), die
        with pytest.raises(KeyboardInterrupt):
            remove(store, find_unreferenced(store, LIMIT), LIMIT)
        ingested = ingest(store, source, "films")
        assert all(store.exists(film_key(ingested.dataset, film)) for film in ingested.manifest.films)

    def test_what_may_not_be_deleted_holds_up_nothing_else(self, store: AgedStore) -> None:
        put(store, "runs/gone/training/a/result.json", "runs/other/training/a/result.json")

        def forbid(key: str) -> None:
            if key.startswith("runs/gone/"):
                raise StoreMisconfigured("access denied")

        store.before_deletion = forbid
        removal = remove(store, find_unreferenced(store, LIMIT), LIMIT)
        assert [group.place for group in removal.forbidden] == ["runs/gone/"]
        assert set(contents(store)) == {"runs/gone/training/a/result.json"}

    def test_what_somebody_else_deleted_is_no_fault(self, store: AgedStore) -> None:
        put(store, "runs/gone/training/a/result.json", "runs/gone/training/b/result.json")
        found = find_unreferenced(store, LIMIT)
        store.before_deletion = lambda _key: store.delete_inside("runs/gone/training/b/result.json")
        assert remove(store, found, LIMIT).objects == 1
        assert contents(store) == {}


@pytest.mark.parametrize(
    "key",
    [
        "access/keys.json",
        "models/resnet50/aliases/production.json",
        "models/resnet50/audit/line.json",
        "raw/films/manifest.json",
        "gateway/inbox/study/film.dcm",
        "gateway/outbox/study.json",
        "failed/gateway/exam/study.json",
        "inbox/film.pgm",
        "self-test/token",
        "something/else",
    ],
)
def test_what_is_nobodys_and_what_others_sweep_has_no_group(key: str) -> None:
    assert group_of(key) is None
