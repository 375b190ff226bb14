"""`mammo retrain`: the settings say what is trained, and what is trained already is not trained again."""

from pathlib import Path

import pytest

from shared.datasets.synthetic import write_dataset
from shared.errors import PlanError
from shared.runs import pipeline
from shared.runs.plan import read_plan
from shared.store.directory import DirectoryStore
from tests.support.commands import mammo


class TestRetrain:
    def test_the_same_films_are_trained_once_and_new_ones_again(
        self, store: DirectoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_dataset(tmp_path / "films", 16, seed=7)
        mammo("ingest", str(tmp_path / "films"), "--dataset", "clinic")
        for name, value in {"DATASET": "clinic", "PROFILE": "test", "SEED": "11"}.items():
            monkeypatch.setenv(f"MAMMO_RETRAIN_{name}", value)

        assert "is enqueued" in mammo("retrain", "--from-scratch")
        (first,) = pipeline.list_runs(store)
        plan = read_plan(store, first)
        assert (plan.dataset, plan.profile, plan.seed, plan.networks) == ("clinic", "test", 11, ("resnet50",))
        assert (plan.protocols, plan.promote, plan.only_if_better) == (("patient",), ("resnet50",), True)

        said = mammo("retrain", "--from-scratch")
        assert f"nothing is new, so nothing is started: run {first} is training resnet50 on these 32 films" in said
        assert pipeline.list_runs(store) == [first]

        write_dataset(tmp_path / "more", 18, seed=7)
        mammo("ingest", str(tmp_path / "more"), "--dataset", "clinic")
        assert f"run {first} is training" in mammo("retrain", "--from-scratch", "--dataset", "clinic@1")
        monkeypatch.setenv("MAMMO_RETRAIN_DATASET", "clinic@1")
        assert f"run {first} is training" in mammo("retrain", "--from-scratch")
        assert "over 36 SYNTHETIC films" in mammo("retrain", "--from-scratch", "--dataset", "clinic")
        with pytest.raises(PlanError, match="data set clinic has no version 3; it has 1 to 2"):
            mammo("retrain", "--from-scratch", "--dataset", "clinic@3")

        monkeypatch.setenv("MAMMO_RETRAIN_SEED", "12")
        assert "is enqueued" in mammo("retrain", "--from-scratch")
        assert len(pipeline.list_runs(store)) == 3
        assert {read_plan(store, run).films for run in pipeline.list_runs(store)} == {32, 36}
