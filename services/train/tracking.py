"""A training job's progress in TensorBoard and in MLflow, where their settings say so. Both are an extra.

They are told and never asked: the store remains the only truth, and a tracker that fails is told no more.
"""

import importlib.util
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from shared.modelling.evaluation import EpochRecord
from shared.modelling.recipes import TrainingRecipe
from shared.settings import SettingsError, TrainingSettings

REQUIREMENTS = "services/train/requirements-trackers.txt"
_EXPERIMENT, _JOB_TAG = "mammostack", "mammostack.job"
_MLFLOW_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""Its own defaults let a server that is away hold up each epoch for many minutes."""

_SERIES = {
    "train_loss": "loss/train",
    "validation_loss": "loss/validation",
    "validation_auc": "auc/validation",
    "learning_rate": "learning_rate",
    "images_per_second": "images_per_second",
}
"""Fields of EpochRecord, and what their series are called."""

Tell = Callable[[EpochRecord], None]
_log = logging.getLogger("mammostack.train")


def check_trackers(config: TrainingSettings) -> None:
    """Raises SettingsError: a tracker's setting is there and its package is not; says what to install."""
    for setting, value, package in (
        ("MAMMO_TENSORBOARD_DIR", config.tensorboard_dir, "tensorboard"),
        ("MAMMO_MLFLOW_URI", config.mlflow_uri, "mlflow"),
    ):
        if value and importlib.util.find_spec(package) is None:
            raise SettingsError(
                f"{setting} is set, but {package} is not installed; unset it, or run pip install -r {REQUIREMENTS}"
            )


@contextmanager
def tracked(config: TrainingSettings, run: str, job: str, recipe: TrainingRecipe, done: int) -> Iterator[Tell]:
    """What tells the trackers of an epoch of the job `job` (<network>/<protocol>/fold-<k>) of a run.

    `done` epochs are there already, from before an interruption: the curves go on after them.
    """
    trackers: list[_Tracker] = []
    if config.tensorboard_dir:
        trackers.append(_TensorBoard(Path(config.tensorboard_dir, run, job), done))
    if config.mlflow_uri:
        trackers.append(_MLflow(config.mlflow_uri, f"{run}/{job}", recipe))

    def each(what: Callable[[_Tracker], None]) -> None:
        for tracker in list(trackers):
            try:
                what(tracker)
            except Exception:  # noqa: BLE001  no training ends, or waits again and again, for somebody who looks on
                _log.warning("a tracker failed and is disabled", extra={"unit": job}, exc_info=True)
                trackers.remove(tracker)

    each(lambda tracker: tracker.begin())
    try:
        yield lambda record: each(lambda tracker: tracker.tell(record))
    except BaseException:
        each(lambda tracker: tracker.end(whole=False))
        raise
    each(lambda tracker: tracker.end(whole=True))


class _Tracker(Protocol):
    def begin(self) -> None: ...

    def tell(self, record: EpochRecord) -> None: ...

    def end(self, *, whole: bool) -> None: ...


class _TensorBoard:
    """What was told before of epochs after the first `done` is hidden: they come again."""

    def __init__(self, folder: Path, done: int) -> None:
        self._folder, self._done = folder, done

    def begin(self) -> None:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  an extra

        self._writer = SummaryWriter(str(self._folder), purge_step=self._done + 1)

    def tell(self, record: EpochRecord) -> None:
        for name, value in _values(record):
            self._writer.add_scalar(name, value, record.epoch)
        self._writer.flush()

    def end(self, *, whole: bool) -> None:  # noqa: ARG002  TensorBoard knows no end
        self._writer.close()


class _MLflow:
    """A job is a run of the experiment `mammostack`. One that goes on finds its run by a tag."""

    def __init__(self, uri: str, name: str, recipe: TrainingRecipe) -> None:
        self._uri, self._name, self._recipe = uri, name, recipe

    def begin(self) -> None:
        for name, value in _MLFLOW_PATIENCE.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient  # noqa: PLC0415  an extra

        self._client = client = MlflowClient(tracking_uri=self._uri)
        known = client.get_experiment_by_name(_EXPERIMENT)
        experiment = known.experiment_id if known else client.create_experiment(_EXPERIMENT)
        found = client.search_runs([experiment], filter_string=f"tags.`{_JOB_TAG}` = '{self._name}'", max_results=1)
        run = found[0] if found else client.create_run(experiment, tags={_JOB_TAG: self._name}, run_name=self._name)
        self._id: str = run.info.run_id
        client.update_run(self._id, status="RUNNING")
        for knob, value in self._recipe.model_dump().items():
            client.log_param(self._id, knob, value)

    def tell(self, record: EpochRecord) -> None:
        for name, value in _values(record):
            self._client.log_metric(self._id, name, value, step=record.epoch)

    def end(self, *, whole: bool) -> None:
        self._client.set_terminated(self._id, status="FINISHED" if whole else "KILLED")


def _values(record: EpochRecord) -> list[tuple[str, float]]:
    """Those that the epoch has: there is no area where a class has no film."""
    told = [(name, getattr(record, field)) for field, name in _SERIES.items()]
    return [(name, value) for name, value in told if value is not None]
