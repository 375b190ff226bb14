"""Films that were ingested anew under the name of others, and what was made from the others."""

import json
from pathlib import Path

import pytest

from services.train.evaluation.report import report_is_intact
from shared.domain.films import FilmShard, Manifest, Shard, describe, grown
from shared.domain.records import Label
from shared.queue.messages import STAGES, Message
from shared.runs import pipeline
from shared.runs.plan import Plan
from shared.runs.sources import (
    RESULTS,
    FilmsChanged,
    check_trained_images,
    images_sha256,
    planned_manifest,
    results_document,
)
from shared.runs.status import read_status
from shared.runs.tasks import JobTask
from shared.store import layout
from shared.store.directory import DirectoryStore
from shared.store.ingest import read_dataset, shard_key, write_manifests
from tests.support.builders import small_manifest, small_plan
from tests.support.memory_queue import MemoryQueue, begun, do, everything, finish
from tests.support.tiny_stages import AUGMENT, SEGMENT, do_films, shard_of, stored


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


@pytest.fixture
def queue() -> MemoryQueue:
    return MemoryQueue()


def other_films(store: DirectoryStore) -> Manifest:
    """Remove `raw/` and ingest as many films of other labels under the same name."""
    for key in list(store.list("raw/")):
        store.delete(key)
    manifest = small_manifest()
    changed = {Label.NORMAL: Label.BENIGN, Label.BENIGN: Label.MALIGNANT, Label.MALIGNANT: Label.NORMAL}
    films = tuple(film.model_copy(update={"label": changed[film.label], "lesions": ()}) for film in manifest.films)
    manifest = manifest.model_copy(update={"films": films})
    write_manifests(store, describe(manifest), manifest)
    return manifest


def run_of_other_films(store: DirectoryStore) -> Plan:
    return small_plan(run="second", films_sha256=describe(other_films(store)).sha256)


class TestPlannedManifest:
    def test_films_that_were_added_later_are_not_among_those_of_a_run(self, store: DirectoryStore) -> None:
        first, more = small_manifest(16), small_manifest(20)
        write_manifests(store, describe(first), first)
        later = grown(describe(first), more)
        store.put(layout.raw_manifest("small"), later.model_dump_json().encode())
        for number, (start, end) in enumerate(((0, 8), (8, 16), (16, 20))):
            shard = FilmShard(films=more.films[start:end])
            store.put(shard_key(later, f"{number:06d}"), shard.model_dump_json().encode())
        assert planned_manifest(store, small_plan(16)) == first
        assert planned_manifest(store, small_plan(20, films_sha256=later.sha256)) == more


class TestSources:
    def test_a_run_over_other_films_of_the_same_name_makes_their_images(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        do_films(store, begun(store, queue, stored(store, small_plan(run="first"))))
        second = run_of_other_films(store)
        pipeline.start(store, queue, second)
        assert queue.taken() == everything(second, "augment")
        do_films(store, second)
        for name in second.names("augment"):
            pipeline.advance(store, queue, second, "augment", name)
        assert queue.taken() == everything(second, "train")
        document = store.get(shard_key(read_dataset(store, "small"), "000000"))
        labels = {film.id: film.label for film in FilmShard.model_validate_json(document).films}
        for way in (AUGMENT, SEGMENT):
            assert {image.film: image.label for image in shard_of(store, way, second, "000000").variants} == labels

    def test_a_stage_that_was_left_waits_for_a_shard_of_other_films(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        first = begun(store, queue, stored(store, small_plan(run="first")))
        do_films(store, first)
        late = store.get(first.done_key("augment", "000001"))
        second = run_of_other_films(store)
        pipeline.start(store, queue, second)
        queue.taken()
        do_films(store, second)
        store.put(second.done_key("augment", "000001"), late)  # by a worker that had begun before
        pipeline.advance(store, queue, second, "augment", "000000")
        assert [unit.name for unit in pipeline.missing_units(store, second, "augment")] == ["000001"]
        assert queue.taken() == []

    def test_the_run_of_the_former_films_goes_no_further(self, store: DirectoryStore, queue: MemoryQueue) -> None:
        first = begun(store, queue, stored(store, small_plan(run="first")), "augment", "segment", "train")
        other_films(store)
        before = list(store.list(""))
        for going_on in (pipeline.resume, pipeline.retry):
            with pytest.raises(FilmsChanged, match="mammo run --dataset small"):
                going_on(store, queue, first.run)
        with pytest.raises(FilmsChanged):
            pipeline.start(store, queue, small_plan(run="third"))
        assert queue.taken() == []
        assert list(store.list("")) == before
        assert read_status(store, first.run).films_changed

    def test_a_finished_run_of_the_former_films_stays_finished(self, store: DirectoryStore, queue: MemoryQueue) -> None:
        first = begun(store, queue, stored(store, small_plan(run="first")), *STAGES)
        other_films(store)
        assert read_status(store, first.run).state == "finished"

    def test_the_status_of_a_run_does_not_count_the_images_of_other_films(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        first = begun(store, queue, stored(store, small_plan(run="first", created="2024-01-01T00:00:00+00:00")))
        do_films(store, first)
        second = run_of_other_films(store).model_copy(update={"created": "2124-01-01T00:00:00+00:00"})
        pipeline.start(store, queue, second)
        augment, segment, *_ = read_status(store, second.run).stages
        assert (augment.done, augment.films_done) == (0, 0)
        do_films(store, second)
        augment, segment, *_ = read_status(store, second.run).stages
        assert (augment.done, segment.done) == (2, 2)

    def test_films_that_are_gone_stop_no_run_whose_images_are_there(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, stored(store, small_plan()), "augment")
        for key in list(store.list("raw/")):
            store.delete(key)
        assert pipeline.resume(store, queue, plan.run) == 2
        assert queue.taken() == everything(plan, "segment")

    def test_a_plan_of_before_names_no_films_and_goes_on(self, store: DirectoryStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue, stored(store, small_plan(films_sha256="")), "augment")
        assert pipeline.resume(store, queue, plan.run) == 2

    def test_segmented_films_are_made_again_when_the_augmented_ones_changed(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, stored(store, small_plan()))
        do_films(store, plan)
        shard = shard_of(store, AUGMENT, plan, "000001")
        fewer = shard.model_copy(update={"variants": shard.variants[:-2]})
        store.put(plan.done_key("augment", "000001"), fewer.model_dump_json().encode())
        assert pipeline.resume(store, queue, plan.run) == 1
        assert queue.taken() == [("segment", "000001")]


def trained(store: DirectoryStore, plan: Plan, *units: str, sha256: str | None = None) -> None:
    images = images_sha256(store.get(unit.done_key) for unit in plan.units("segment"))
    for name in units or plan.names("train"):
        store.put(plan.done_key("train", name), json.dumps({"data_sha256": sha256 or images}).encode())


def reported(store: DirectoryStore, plan: Plan) -> None:
    document = results_document(store, plan)
    store.put(layout.report_file(plan.run, RESULTS), document)
    digest = images_sha256([document])
    store.put(plan.done_key("evaluate", "report"), json.dumps({RESULTS: digest}).encode())


class TestResultsAndReports:
    def test_a_verified_run_says_that_its_jobs_were_trained_on_other_films(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, stored(store, small_plan(films_sha256="")))
        do_films(store, plan)
        trained(store, plan)
        assert pipeline.resume(store, queue, plan.run, verify=True) == 1
        trained(store, plan, "resnet50/patient/fold-1", sha256="0" * 64)
        with pytest.raises(FilmsChanged, match="resnet50/patient/fold-1"):
            pipeline.resume(store, queue, plan.run, verify=True)

    def test_a_job_is_not_trained_on_other_films_than_those_of_its_run(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, stored(store, small_plan()))
        do_films(store, plan)
        check_trained_images(store, plan, "a" * 64)
        trained(store, plan, "resnet50/patient/fold-0", sha256="a" * 64)
        check_trained_images(store, plan, "a" * 64)
        with pytest.raises(FilmsChanged, match="new run"):
            check_trained_images(store, plan, "b" * 64)

    def test_a_report_is_made_again_when_a_job_was(self, store: DirectoryStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue, stored(store, small_plan()), "augment", "segment")
        trained(store, plan)
        reported(store, plan)
        task, message = JobTask("evaluate", lambda _: None, report_is_intact, 4), Message(run=plan.run, unit="report")
        assert task.is_done(store, task.load(store, message))
        assert list(pipeline.missing_units(store, plan, "evaluate")) == []
        trained(store, plan, "resnet50/patient/fold-1", sha256="0" * 64)
        assert [unit.name for unit in pipeline.missing_units(store, plan, "evaluate")] == ["report"]
        assert not task.is_done(store, task.load(store, message))

    def test_a_report_that_does_not_tell_its_results_is_kept(self, store: DirectoryStore, queue: MemoryQueue) -> None:
        plan = begun(store, queue, small_plan(), *STAGES[:4])
        assert list(pipeline.missing_units(store, plan, "evaluate")) == []

    @pytest.mark.parametrize("damaged", [b"{", b"[]"])
    def test_an_unreadable_report_is_made_again(
        self, store: DirectoryStore, queue: MemoryQueue, damaged: bytes
    ) -> None:
        plan = begun(store, queue, small_plan(), *STAGES[:4])
        store.put(plan.done_key("evaluate", "report"), damaged)
        assert not report_is_intact(store, plan, "report")
        assert [unit.name for unit in pipeline.missing_units(store, plan, "evaluate")] == ["report"]

    def test_a_shard_whose_manifest_can_not_be_read_is_made_again(
        self, store: DirectoryStore, queue: MemoryQueue
    ) -> None:
        plan = begun(store, queue, stored(store, small_plan()))
        finish(store, queue, plan, "augment")
        queue.taken()
        store.put(plan.done_key("augment", "000000"), b"")
        do(store, plan, "segment")
        assert pipeline.resume(store, queue, plan.run) == 1
        assert queue.taken() == [("augment", "000000")]
        assert Shard.model_validate_json(store.get(plan.done_key("augment", "000001"))).shard == "000001"
