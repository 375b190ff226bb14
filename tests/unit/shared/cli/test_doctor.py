"""`mammo doctor`: every kind of record that can't be read is found, with a remedy that works."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.api.batches import BatchRequest
from shared.batches import flow
from shared.batches.plan import make_batch
from shared.cli.doctor import find_troubles
from shared.errors import ObjectUnreadable
from shared.evaluations import flow as evaluations
from shared.runs import pipeline
from shared.runs.status import read_status
from shared.store import layout, models
from shared.store.api_keys import add_key, describe_key, new_key, read_keys
from shared.store.directory import DirectoryStore
from shared.store.interface import ObjectEntry
from tests.support import external
from tests.support.builders import model_card, small_plan
from tests.support.memory_queue import MemoryQueue, begun, do
from tests.support.policies import allows
from tests.support.tiny_stages import do_films, stored

WHY = models.MoveReason(by="test", why="test")


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


def troubled(store: DirectoryStore) -> list[str]:
    return [trouble.key for trouble in find_troubles(store)]


def harm(store: DirectoryStore, key: str, data: bytes = b"{") -> str:
    assert store.exists(key)
    store.put(key, data)
    return key


def publish(store: DirectoryStore, *versions: str) -> None:
    for version in versions:
        models.publish(store, model_card("resnet50", version), {"a": version.encode()})
        models.promote(store, "resnet50", version, WHY, force=True)


class TestFindTroubles:
    def test_a_store_whose_records_are_whole_has_no_trouble(self, store: DirectoryStore) -> None:
        plan = begun(store, MemoryQueue(), stored(store, small_plan()))
        do_films(store, plan)
        publish(store, "v1")
        add_key(store, describe_key(new_key(), "pacs", ["predict"]))
        assert troubled(store) == []

    def test_nothing_is_listed_that_an_operator_may_not_list(
        self, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        listed, entries = list[str](), store.entries

        def noted(prefix: str) -> Iterator[ObjectEntry]:
            listed.append(prefix)
            return entries(prefix)

        monkeypatch.setattr(store, "entries", noted)
        assert troubled(store) == []
        assert listed
        assert all(allows("operator", "GET", "", f"list-type=2&prefix={prefix}") for prefix in listed)

    def test_each_damaged_record_is_found_with_its_remedy_and_no_other(self, store: DirectoryStore) -> None:
        plan = begun(store, MemoryQueue(), stored(store, small_plan(run="r")))
        do_films(store, plan)
        do(store, plan, "train", ["resnet50/patient/fold-0"])
        store.put(layout.run_split("r", "patient", 0), b"{}")
        pipeline.give_up(store, "r", "train", "resnet50/patient/fold-1", ValueError("x"))
        publish(store, "v1")
        add_key(store, describe_key(new_key(), "pacs", ["predict"]))
        harmed = [
            harm(store, layout.raw_manifest("small")),
            harm(store, plan.done_key("segment", "000001"), b""),
            harm(store, plan.done_key("train", "resnet50/patient/fold-0"), b"[]"),
            harm(store, layout.run_plan("r")),
            harm(store, layout.run_split("r", "patient", 0)),
            harm(store, layout.failure("r", "train", "resnet50/patient/fold-1")),
            harm(store, layout.alias("resnet50", "production")),
            harm(store, layout.model_card("resnet50", "v1"), b'{"network": "resnet50"}'),
            harm(store, layout.api_keys()),
        ]
        found = {trouble.key: trouble for trouble in find_troubles(store)}
        assert sorted(found) == sorted(harmed)
        assert found[layout.alias("resnet50", "production")].remedy == (
            "mammo models promote resnet50 VERSION --alias production"
        )
        assert found[plan.done_key("train", "resnet50/patient/fold-0")].remedy == "mammo resume r"
        assert "field" in found[layout.model_card("resnet50", "v1")].reason

    def test_damaged_records_of_an_evaluation_are_replaced_by_the_same_command(self, store: DirectoryStore) -> None:
        external.published(store)
        external.known_films(store, "clinic", external.others())
        plan = evaluations.start(store, MemoryQueue(), external.planned(store))
        external.judge(store, plan)
        assert troubled(store) == []
        store.put(plan.done_key("report"), b"{}")
        harmed = [
            harm(store, plan.done_key("000000"), b""),
            harm(store, layout.evaluation_plan(plan.evaluation)),
            harm(store, plan.done_key("report")),
        ]
        found = {trouble.key: trouble.remedy for trouble in find_troubles(store)}
        assert found == dict.fromkeys(harmed, "give the same mammo evaluate command again")
        queue = MemoryQueue()
        evaluations.start(store, queue, external.planned(store))
        assert queue.taken() == [("judge", "000000")]

    def test_damaged_records_of_the_gateway_are_found_and_its_films_are_not_read(self, store: DirectoryStore) -> None:
        store.put("gateway/outbox/s.json", b"")
        store.put("gateway/forgotten/s.json", b"{")
        store.put("gateway/inbox/s/f.json", b"")
        assert troubled(store) == ["gateway/outbox/s.json", "gateway/forgotten/s.json"]

    def test_a_record_of_a_later_release_is_named_as_that(self, store: DirectoryStore) -> None:
        publish(store, "v1")
        harm(store, layout.model_card("resnet50", "v1"), b'{"schema_number": 9, "code_version": "3.0.0"}')
        (trouble,) = find_troubles(store)
        assert trouble.reason == "it was made by release 3.0.0"


class TestRemedies:
    @pytest.mark.parametrize("data", [b"", b"{", b"[]"])
    def test_promoting_writes_a_damaged_alias_anew_and_the_trail_knows_what_it_was(
        self, store: DirectoryStore, data: bytes
    ) -> None:
        publish(store, "v1", "v2")
        harm(store, layout.alias("resnet50", "production"), data)
        with pytest.raises(ObjectUnreadable):
            models.read_alias(store, "resnet50")
        models.publish(store, model_card("resnet50", "v3"), {"a": b"v3"})
        move = models.promote(store, "resnet50", "v3", WHY, force=True)
        assert (move.previous, models.read_alias(store, "resnet50")) == ("v2", move)
        assert [each.version for each in models.history(store, "resnet50")] == ["v1", "v2", "v3"]
        assert troubled(store) == []

    def test_promoting_the_version_of_a_damaged_alias_writes_it_anew(self, store: DirectoryStore) -> None:
        publish(store, "v1")
        harm(store, layout.alias("resnet50", "production"))
        models.promote(store, "resnet50", "v1", WHY)
        assert models.read_alias(store, "resnet50").version == "v1"

    def test_keys_that_can_not_be_read_are_given_up_on_demand_alone(self, store: DirectoryStore) -> None:
        add_key(store, describe_key(new_key(), "pacs", ["predict"]))
        harm(store, layout.api_keys())
        new = describe_key(new_key(), "new", ["predict"])
        with pytest.raises(ObjectUnreadable):
            add_key(store, new)
        add_key(store, new, anew=True)
        assert read_keys(store).keys == (new,)
        other = describe_key(new_key(), "other", ["predict"])
        add_key(store, other, anew=True)
        assert read_keys(store).keys == (new, other)

    def test_resuming_replaces_what_belongs_to_a_run(self, store: DirectoryStore) -> None:
        queue = MemoryQueue()
        plan = begun(store, queue, stored(store, small_plan()), "augment", "segment")
        do(store, plan, "train")
        harm(store, plan.done_key("train", "resnet50/patient/fold-0"))
        failure = layout.failure(plan.run, "train", "resnet50/patient/fold-1")
        pipeline.give_up(store, plan.run, "train", "resnet50/patient/fold-1", ValueError("x"))
        harm(store, failure)
        (failed,) = read_status(store, plan.run).failures
        assert (failed.stage, failed.unit, failed.code) == ("train", "resnet50/patient/fold-1", "object-unreadable")
        assert pipeline.resume(store, queue, plan.run) == 1
        assert queue.taken() == [("train", "resnet50/patient/fold-0")]
        assert not store.exists(failure)

    def test_a_batch_whose_end_is_damaged_is_resumed(self, store: DirectoryStore) -> None:
        queue = MemoryQueue()
        for number in range(2):
            store.put(f"inbox/{number}.png", b"film")
        wanted = BatchRequest(prefix="inbox/")
        plan = make_batch(store, "b" * 32, wanted, "inbox/", owner="pacs", network="resnet50", version="v1")
        flow.begin(store, queue, plan)
        flow.cancel(store, plan)
        harm(store, layout.batch_end(plan.batch))
        assert flow.describe(store, plan).state == "queued"
        assert flow.resume(store, queue, plan) == 1
        assert not flow.has_ended(store, plan)

    def test_a_damaged_or_removed_batch_hides_no_other(self, store: DirectoryStore) -> None:
        queue = MemoryQueue()
        store.put("inbox/1.png", b"film")
        names = [letter * 32 for letter in "abc"]
        for name in names:
            wanted = BatchRequest(prefix="inbox/")
            plan = make_batch(store, name, wanted, "inbox/", owner="pacs", network="resnet50", version="v1")
            flow.begin(store, queue, plan)
        harm(store, layout.batch_plan(names[0]))
        store.delete(layout.batch_plan(names[1]))
        assert [batch.id for batch in flow.describe_all(store, names)] == [names[2]]
