"""Splits of jobs: computed once, stored with the run, and not taken for those of other images."""

from pathlib import Path

import numpy as np
import pytest

from services.train.data import run_split as module
from services.train.data.inputs import RunImages, job_split
from services.train.data.run_split import run_split
from services.train.jobs import parse_job
from shared.datasets.splits import Split
from shared.errors import ObjectOfLaterRelease
from shared.store import layout
from shared.store.directory import DirectoryStore
from tests.support.builders import small_manifest, small_plan, variants_of

PLAN = small_plan()
JOB = parse_job("resnet50/patient/fold-1")


def images(sha256: str = "images", films: int = 16) -> RunImages:
    variants = tuple(variant for film in small_manifest(films).films for variant in variants_of(film, 2))
    return RunImages(
        variants=variants, inputs=np.zeros((len(variants), 1, 1, 1), np.float32), cache_key="", sha256=sha256,
        set_aside={},
    )  # fmt: skip


def never(*_: object) -> Split:
    raise AssertionError("it was computed again")


def same(one: Split, other: Split) -> bool:
    pairs = ((one.train, other.train), (one.validation, other.validation), (one.test, other.test))
    return all(np.array_equal(first, second) and first.dtype == second.dtype for first, second in pairs)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


class TestRunSplit:
    @pytest.mark.parametrize("name", ["patient/fold-0", "patient/fold-1", "paper/fold-0"])
    def test_it_is_computed_once_for_all_networks(
        self, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        first = run_split(store, PLAN, parse_job(f"resnet50/{name}"), images())
        assert same(first, job_split(images().variants, PLAN, parse_job(f"resnet50/{name}")))
        monkeypatch.setattr(module, "job_split", never)
        assert same(run_split(store, PLAN, parse_job(f"alexnet/{name}"), images()), first)

    def test_that_of_other_images_is_replaced(self, store: DirectoryStore) -> None:
        first = run_split(store, PLAN, JOB, images())
        other = run_split(store, PLAN, JOB, images("others", films=24))
        assert len(other.test) > len(first.test)
        assert same(run_split(store, PLAN, JOB, images("others", films=24)), other)

    @pytest.mark.parametrize("damage", [b"", b"{", b"{}"])
    def test_one_that_can_not_be_read_is_replaced(self, store: DirectoryStore, damage: bytes) -> None:
        first = run_split(store, PLAN, JOB, images())
        key = layout.run_split(PLAN.run, "patient", 1)
        whole = store.get(key)
        store.put(key, damage)
        assert same(run_split(store, PLAN, JOB, images()), first)
        assert store.get(key) == whole

    def test_one_of_a_later_release_is_kept(self, store: DirectoryStore) -> None:
        store.put(layout.run_split(PLAN.run, "patient", 1), b'{"schema_number": 99}')
        with pytest.raises(ObjectOfLaterRelease):
            run_split(store, PLAN, JOB, images())
