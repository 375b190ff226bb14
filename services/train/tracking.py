"""Optional tracking of a training job in TensorBoard and MLflow.

Trackers are written to and never read: the store remains the only truth. A tracker that fails is disabled for the job.
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
_MLFLOW_LIMITS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""With MLflow's defaults, an unreachable server delays each epoch by many minutes."""

_SERIES = {
    "train_loss": "loss/train",
    "validation_loss": "loss/validation",
    "validation_auc": "auc/validation",
    "learning_rate": "learning_rate",
    "images_per_second": "images_per_second",
}
"""Fields of EpochRecord, and the names of their series."""

EpochCallback = Callable[[EpochRecord], None]
_log = logging.getLogger("mammostack.train")


def check_trackers(config: TrainingSettings) -> None:
    """Check that the packages of all configured trackers are installed.

    Raises:
        SettingsError: one is missing; names the command that installs it.
    """
    for setting, value, package in (
        ("MAMMO_TENSORBOARD_DIR", config.tensorboard_dir, "tensorboard"),
        ("MAMMO_MLFLOW_URI", config.mlflow_uri, "mlflow"),
    ):
        if value and importlib.util.find_spec(package) is None:
            raise SettingsError(
                f"{setting} is set, but {package} is not installed; unset it, or run pip install -r {REQUIREMENTS}"
            )


@contextmanager
def track_epochs(
    config: TrainingSettings, run: str, job: str, recipe: TrainingRecipe, done: int
) -> Iterator[EpochCallback]:
    """Open the configured trackers for a job; yields a function that logs an epoch to them.

    Args:
        config: settings of the trackers.
        run: name of the run.
        job: name of the job, <network>/<protocol>/fold-<k>.
        recipe: logged as parameters.
        done: epochs logged before an interruption; the curves continue after them.
    """
    trackers: list[_Tracker] = []
    if config.tensorboard_dir:
        trackers.append(_TensorBoard(Path(config.tensorboard_dir, run, job), done))
    if config.mlflow_uri:
        trackers.append(_MLflow(config.mlflow_uri, f"{run}/{job}", recipe))

    def for_each(action: Callable[[_Tracker], None]) -> None:
        for tracker in list(trackers):
            try:
                action(tracker)
            except Exception:  # noqa: BLE001  a tracker must not end or delay training
                _log.warning("a tracker failed and is disabled", extra={"unit": job}, exc_info=True)
                trackers.remove(tracker)

    for_each(lambda tracker: tracker.begin())
    try:
        yield lambda record: for_each(lambda tracker: tracker.log_epoch(record))
    except BaseException:
        for_each(lambda tracker: tracker.end(completed=False))
        raise
    for_each(lambda tracker: tracker.end(completed=True))


class _Tracker(Protocol):
    def begin(self) -> None: ...

    def log_epoch(self, record: EpochRecord) -> None: ...

    def end(self, *, completed: bool) -> None: ...


class _TensorBoard:
    """Log to TensorBoard; earlier records of epochs after the first `done` are hidden, because they are repeated."""

    def __init__(self, folder: Path, done: int) -> None:
        self._folder, self._done = folder, done

    def begin(self) -> None:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  an extra

        self._writer = SummaryWriter(str(self._folder), purge_step=self._done + 1)

    def log_epoch(self, record: EpochRecord) -> None:
        for name, value in _series_values(record):
            self._writer.add_scalar(name, value, record.epoch)
        self._writer.flush()

    def end(self, *, completed: bool) -> None:  # noqa: ARG002  TensorBoard has no status
        self._writer.close()


class _MLflow:
    """Log to a run of the experiment `mammostack`; a resumed job finds its run by a tag."""

    def __init__(self, uri: str, name: str, recipe: TrainingRecipe) -> None:
        self._uri, self._name, self._recipe = uri, name, recipe

    def begin(self) -> None:
        for name, value in _MLFLOW_LIMITS.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient  # noqa: PLC0415  an extra

        self._client = client = MlflowClient(tracking_uri=self._uri)
        existing = client.get_experiment_by_name(_EXPERIMENT)
        experiment = existing.experiment_id if existing else client.create_experiment(_EXPERIMENT)
        runs = client.search_runs([experiment], filter_string=f"tags.`{_JOB_TAG}` = '{self._name}'", max_results=1)
        run = runs[0] if runs else client.create_run(experiment, tags={_JOB_TAG: self._name}, run_name=self._name)
        self._id: str = run.info.run_id
        client.update_run(self._id, status="RUNNING")
        for parameter, value in self._recipe.model_dump().items():
            client.log_param(self._id, parameter, value)

    def log_epoch(self, record: EpochRecord) -> None:
        for name, value in _series_values(record):
            self._client.log_metric(self._id, name, value, step=record.epoch)

    def end(self, *, completed: bool) -> None:
        self._client.set_terminated(self._id, status="FINISHED" if completed else "KILLED")


def _series_values(record: EpochRecord) -> list[tuple[str, float]]:
    """Return the defined values; AUC is undefined if a class has no validation film."""
    values = [(name, getattr(record, field)) for field, name in _SERIES.items()]
    return [(name, value) for name, value in values if value is not None]
