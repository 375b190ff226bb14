"""What makes a run new: films, recipe, seed, release; and what an earlier run is known by."""

from pathlib import Path
from typing import Any

import pytest

from shared.modelling.profiles import PROFILES
from shared.runs import pipeline
from shared.runs.plan import Plan
from shared.runs.retraining import earlier_run, trains_the_same
from shared.store import layout
from shared.store.directory import DirectoryStore
from tests.support.builders import small_plan

PLAN = small_plan(protocols=("patient",), promote=())


def stored_run(store: DirectoryStore, run: str, **changes: Any) -> Plan:
    plan = small_plan(run=run, **changes)
    store.put(layout.run_plan(run), plan.model_dump_json().encode())
    return plan


class TestTrainsTheSame:
    def test_what_comes_besides_makes_no_difference(self) -> None:
        more = {
            "training": {**PROFILES["test"].training},
            "weights": dict.fromkeys(PROFILES["test"].training, "scratch"),
        }
        assert trains_the_same(small_plan(run="earlier", created="earlier", **more), PLAN)

    @pytest.mark.parametrize(
        "changes",
        [
            {"dataset": "another"},
            {"films_sha256": "of more films"},
            {"seed": 8},
            {"folds": 5},
            {"repeats": 3},
            {"code_version": "0.0.1"},
            {"weights": {"resnet50": "torchvision"}},
            {"training": {"resnet50": PROFILES["quick"].training["resnet50"]}},
            {"augmentation": PROFILES["quick"].augmentation},
            {"protocols": ("paper",)},
            {"training": {"alexnet": PROFILES["test"].training["alexnet"]}, "weights": {"alexnet": "scratch"}},
        ],
        ids=", ".join,
    )
    def test_whatever_changes_the_model_makes_a_run_new(self, changes: dict[str, Any]) -> None:
        assert not trains_the_same(small_plan(**{"promote": (), **changes}), PLAN)

    def test_runs_of_before_the_films_were_noted_are_of_unknown_films(self) -> None:
        unknown = PLAN.model_copy(update={"films_sha256": ""})
        assert not trains_the_same(unknown, unknown)


class TestEarlierRun:
    def test_the_newest_run_that_trains_the_same_is_found(self, tmp_path: Path) -> None:
        store = DirectoryStore(tmp_path)
        assert earlier_run(store, PLAN) is None
        stored_run(store, "20260101-a")
        newest = stored_run(store, "20260201-b")
        stored_run(store, "20260301-c", seed=8)
        store.put(layout.run_plan("20260401-d"), b"{")
        assert earlier_run(store, PLAN) == newest

    def test_a_run_that_was_cancelled_does_not_count(self, tmp_path: Path) -> None:
        store = DirectoryStore(tmp_path)
        stored_run(store, "20260101-a")
        pipeline.cancel(store, "20260101-a")
        assert earlier_run(store, PLAN) is None
