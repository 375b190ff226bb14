"""Progress in TensorBoard and MLflow: the packages themselves are used where they are installed; and whatever a tracker
does, training goes on."""

import importlib.util
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from services.train import tracking
from services.train.tracking import REQUIREMENTS, check_trackers, track_epochs
from shared.errors import JobInterrupted
from shared.local.commands import ROOT
from shared.modelling.evaluation import EpochRecord
from shared.modelling.recipes import TrainingRecipe
from shared.settings import SettingsError, TrainingSettings

RECIPE = TrainingRecipe(input_size=64, epochs=4, learning_rate=3e-4)
JOB = "resnet50/patient/fold-0"
EXTRA = f"an extra: pip install -r {REQUIREMENTS}"


def config(**values: str) -> TrainingSettings:
    return TrainingSettings(**values)


def epoch(number: int, auc: float | None = 0.6) -> EpochRecord:
    return EpochRecord(
        epoch=number,
        train_loss=1 / number,
        validation_loss=2 / number,
        validation_auc=auc,
        learning_rate=1e-3,
        images_per_second=50,
    )


class TestCheckTrackers:
    def test_without_settings_nobody_is_told(self) -> None:
        check_trackers(config())
        with track_epochs(config(), "run", JOB, RECIPE, done=0) as track:
            track(epoch(1))

    @pytest.mark.parametrize(("setting", "package"), [("tensorboard_dir", "tensorboard"), ("mlflow_uri", "mlflow")])
    def test_a_package_that_is_missing_is_named_with_what_to_do(
        self, monkeypatch: pytest.MonkeyPatch, setting: str, package: str
    ) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(
            SettingsError, match=f"MAMMO_{setting.upper()} is set, but {package} is not installed"
        ) as error:
            check_trackers(config(**{setting: "somewhere"}))
        assert str(error.value).endswith(f"pip install -r {REQUIREMENTS}")
        assert f"\n{package}" in (ROOT / REQUIREMENTS).read_text()


class Failing:
    """A tracker that fails when it is told of its second epoch."""

    def __init__(self, *_: object) -> None:
        self.told: list[int] = []

    def begin(self) -> None:
        pass

    def log_epoch(self, record: EpochRecord) -> None:
        self.told.append(record.epoch)
        if record.epoch == 2:
            raise ConnectionError("the server is away")

    def end(self, *, completed: bool) -> None:
        raise AssertionError("it is told no more")


class TestTrackEpochs:
    def test_a_tracker_that_fails_is_told_no_more_and_training_goes_on(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        failing = Failing()
        monkeypatch.setattr(tracking, "_TensorBoard", lambda *_: failing)
        with (
            caplog.at_level(logging.WARNING),
            track_epochs(config(tensorboard_dir="somewhere"), "run", JOB, RECIPE, done=0) as track,
        ):
            for number in (1, 2, 3):
                track(epoch(number))
        assert failing.told == [1, 2]
        assert [record.message for record in caplog.records] == ["a tracker failed and is disabled"]

    def test_tensorboard_shows_a_curve_for_each_job_without_what_an_interruption_undid(self, tmp_path: Path) -> None:
        pytest.importorskip("tensorboard", reason=EXTRA)
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        settings = config(tensorboard_dir=str(tmp_path))
        with track_epochs(settings, "run", JOB, RECIPE, done=0) as track:
            for number in (1, 2):
                track(epoch(number))
        with track_epochs(
            settings, "run", JOB, RECIPE, done=1
        ) as track:  # the checkpoint of the second one was not kept
            for number in (2, 3):
                track(epoch(number, auc=None))
        events = EventAccumulator(str(tmp_path / "run" / JOB))
        events.Reload()
        assert [(event.step, event.value) for event in events.Scalars("loss/train")] == [
            (1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))
        ]  # fmt: skip
        assert set(events.Tags()["scalars"]) == set(tracking._SERIES.values())
        assert [event.step for event in events.Scalars("auc/validation")] == [1]

    def test_mlflow_has_a_run_for_each_job_which_goes_on_after_an_interruption(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mlflow = pytest.importorskip("mlflow", reason=EXTRA)
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        settings = config(mlflow_uri=(tmp_path / "mlruns").as_uri())
        client = mlflow.MlflowClient(tracking_uri=settings.mlflow_uri)

        def runs() -> list[Any]:
            return list(client.search_runs([client.get_experiment_by_name("mammostack").experiment_id]))

        with suppress(JobInterrupted), track_epochs(settings, "run", JOB, RECIPE, done=0) as track:
            track(epoch(1))
            raise JobInterrupted("stopped")
        assert [run.info.status for run in runs()] == ["KILLED"]
        with track_epochs(settings, "run", JOB, RECIPE, done=1) as track:
            track(epoch(2))
        with track_epochs(settings, "run", "alexnet/patient/fold-0", RECIPE, done=0) as track:
            track(epoch(1))
        assert sorted(run.info.run_name for run in runs()) == ["run/alexnet/patient/fold-0", f"run/{JOB}"]
        (run,) = [run for run in runs() if run.info.run_name.endswith(JOB)]
        assert run.info.status == "FINISHED"
        assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "loss/train")] == [
            (1, 1.0),
            (2, 0.5),
        ]
        assert run.data.params["learning_rate"] == "0.0003"
