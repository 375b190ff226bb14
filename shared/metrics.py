"""All Prometheus metrics except those of the broker.

Those are in shared/queue/broker_metrics.py. Times are in seconds; no label contains an id of a person, a request or a
film, or anything else chosen by a client. `docs/reference/metrics.md` lists all metrics; a test compares it with what
is scraped.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

_UNIT_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400)
_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)
_SHARE_BUCKETS = tuple(step / 20 for step in range(1, 20))
_CONFIDENCE_BUCKETS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)

UNITS = Counter("mammo_units", "Units that a worker finished, by outcome", ["stage", "outcome"])
UNIT_SECONDS = Histogram("mammo_unit_seconds", "Duration of a unit", ["stage"], buckets=_UNIT_BUCKETS)
UNITS_IN_HAND = Gauge("mammo_units_in_hand", "Units being processed", ["stage"], multiprocess_mode="livesum")
FILMS = Counter("mammo_films", "Films that a stage has processed", ["stage"])
FILMS_SET_ASIDE = Counter("mammo_films_set_aside", "Films that could not be processed", ["stage"])
STORE_ERRORS = Counter(
    "mammo_store_errors", "Object store calls that failed after all attempts, by consequence", ["meaning"]
)
KEYS_UNREAD = Gauge("mammo_keys_unread", "1 while the API keys in the store can't be read", multiprocess_mode="livemax")
ENDING_KEY_REQUESTS = Counter(
    "mammo_ending_key_requests", "Requests with an API key that ends within 7 days; the log names it"
)
OBJECTS_UNREADABLE = Counter(
    "mammo_objects_unreadable",
    "Reads of stored records that are empty, damaged or of a later release, by the first part of their key",
    ["prefix"],
)
STORE_RETRIES = Counter("mammo_store_retries", "Requests to the object store that had to be repeated")

CHILDREN_STARTED = Counter(
    "mammo_child_processes_started", "Child processes that do the work of a worker or service, each start"
)
RUNS_UNATTENDED = Gauge(
    "mammo_runs_without_messages",
    "Unfinished runs that nothing in the broker continues",
    multiprocess_mode="livemax",
)
BATCHES_UNATTENDED = Gauge(
    "mammo_batches_without_messages",
    "Unfinished batches that nothing in the broker continues",
    multiprocess_mode="livemax",
)

TRAIN_EPOCH = Gauge("mammo_training_epoch", "Last finished epoch of the running training job", ["network"])
TRAIN_LOSS = Gauge("mammo_training_loss", "Mean training loss of the last epoch", ["network"])
TRAIN_RATE = Gauge("mammo_training_images_per_second", "Rate of the last epoch", ["network"])
TRAIN_LEARNING_RATE = Gauge(
    "mammo_training_learning_rate", "Learning rate of the head after the last epoch", ["network"]
)
TRAIN_GPU_MEMORY = Gauge("mammo_training_gpu_memory_bytes", "Peak GPU memory of the running job", ["network"])
TRAIN_PROGRESS = Gauge(
    "mammo_training_progress_timestamp_seconds", "Time at which a long job started or last finished an epoch", ["stage"]
)

REQUESTS = Counter("mammo_requests", "Responses of the inference API", ["route", "status"])
REQUEST_SECONDS = Histogram(
    "mammo_request_seconds", "Time from a request's header to its response", ["route"], buckets=_REQUEST_BUCKETS
)
REQUESTS_IN_HAND = Gauge(
    "mammo_requests_in_hand", "Predictions being processed or waiting", multiprocess_mode="livesum"
)
BYTES_IN_HAND = Gauge("mammo_bytes_in_hand", "Bytes of request bodies in memory", multiprocess_mode="livesum")
PREDICT_SECONDS = Histogram(
    "request_predict_seconds", "Time in the network", ["model_name", "model_version"], buckets=_REQUEST_BUCKETS
)
PREPROCESS_SECONDS = Histogram(
    "request_preprocess_seconds", "Time to decode and segment", ["model_name"], buckets=_REQUEST_BUCKETS
)
QUEUE_SECONDS = Histogram(
    "mammo_queue_seconds", "Waiting time of a request before processing", ["model_name"], buckets=_REQUEST_BUCKETS
)
EXPLAIN_SECONDS = Histogram(
    "request_explain_seconds", "Time to compute the class-activation map", ["model_name"], buckets=_REQUEST_BUCKETS
)
CONNECTIONS_ENDED = Counter(
    "mammo_connections_ended",
    "Connections that the service ended because of their client: silent, slow-body, unread (the answer), crowded",
    ["reason"],
)
REFUSALS = Counter("mammo_refusals", "Images that were not predicted", ["reason"])
PREDICTIONS = Counter("mammo_predictions", "Predictions by class", ["model_name", "model_version", "predicted"])
CONFIDENCE = Histogram(
    "mammo_confidence",
    "Probability of the predicted class",
    ["model_name", "model_version"],
    buckets=_CONFIDENCE_BUCKETS,
)
INPUT_BRIGHTNESS = Histogram(
    "mammo_input_brightness", "Mean grey level inside the breast, 0 to 1", ["model_name"], buckets=_SHARE_BUCKETS
)
INPUT_BREAST_AREA = Histogram(
    "mammo_input_breast_area",
    "Fraction of the image area covered by the breast",
    ["model_name"],
    buckets=_SHARE_BUCKETS,
)
INPUT_DRIFT = Gauge(
    "mammo_input_drift_psi",
    "Population stability index of the last predictions against the training films",
    ["model_name", "model_version", "trait"],
    multiprocess_mode="livemax",
)
APPLICABILITY = Counter(
    "mammo_applicability",
    "Films by whether the model was trained on their kind: applies, unknown, or each fact that none of its films had",
    ["model_name", "model_version", "reason"],
)
BATCH_IMAGES = Counter(
    "mammo_batch_images", "Finished images of batches: predicted, or the problem's code", ["outcome"]
)
_ARRIVAL_BUCKETS = (1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 14400)
GATEWAY_EXAMS = Counter("mammo_gateway_exams", "Exams that the gateway finished, by outcome", ["outcome"])
GATEWAY_FILMS = Counter("mammo_gateway_films", "Films of predicted exams: predicted, or why not", ["outcome"])
GATEWAY_SECONDS = Histogram(
    "mammo_gateway_result_seconds",
    "Time from the last film of an exam to its stored results",
    ["views"],
    buckets=_ARRIVAL_BUCKETS,
)
GATEWAY_OBJECTS = Counter("mammo_gateway_objects", "Result objects by kind and outcome", ["kind", "outcome"])
GATEWAY_RECEIVED = Counter("mammo_gateway_received", "Objects that were pushed to the gateway, by outcome", ["outcome"])
GATEWAY_BYTES = Counter("mammo_gateway_received_bytes", "Bytes of films that were pushed and kept")
GATEWAY_ASSOCIATIONS = Counter(
    "mammo_gateway_associations", "DICOM connections: accepted, or the reason of their rejection", ["outcome"]
)
GATEWAY_ARCHIVE_UP = Gauge(
    "mammo_gateway_archive_up", "1 while the archive that is polled answers", ["archive"], multiprocess_mode="livemax"
)
GATEWAY_OLDEST = Gauge(
    "mammo_gateway_oldest_waiting_seconds", "Age of the oldest exam without results", multiprocess_mode="livemax"
)
GATEWAY_INBOX = Gauge("mammo_gateway_inbox_films", "Films that wait in the inbox", multiprocess_mode="livemax")
GATEWAY_OUTBOX = Gauge(
    "mammo_gateway_outbox_exams", "Predicted exams whose results are not stored yet", multiprocess_mode="livemax"
)
MODEL_LOADS = Counter("mammo_model_loads", "Attempts to load a promoted model, by outcome", ["outcome"])
MODEL_NOT_LOADED = Gauge(
    "mammo_model_not_loaded",
    "1 while the promoted version can't be loaded, whether or not an earlier one answers",
    multiprocess_mode="livemax",
)
MODEL_INFO = Gauge(
    "mammo_model_loaded", "1 for the model in use", ["model_name", "model_version"], multiprocess_mode="livemax"
)
MODEL_ENGINE = Gauge(
    "mammo_model_engine",
    "1 for the engine that runs the model in use: library and number format",
    ["model_name", "model_version", "engine"],
    multiprocess_mode="livemax",
)
MODEL_CREATED = Gauge(
    "mammo_model_created_timestamp_seconds",
    "Time at which the model was created",
    ["model_name", "model_version"],
    multiprocess_mode="livemax",
)
FILES_UNREAD = Gauge(
    "mammo_metrics_files_unread",
    "Files of counts that are damaged, or were deleted under the process that writes them",
    multiprocess_mode="livemax",
)


def exposition() -> bytes:
    """Return the metrics in Prometheus's text format."""
    return generate_latest(registry())


def registry() -> CollectorRegistry:
    """Every series of this service, summed over all processes when there are several."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is None:
        return REGISTRY
    summed = CollectorRegistry()
    summed.register(_AllProcesses(Path(folder)))
    return summed


class _AllProcesses(Collector):
    """Sums over all processes, without units in progress of killed processes.

    Each process keeps its counts in files of one folder. A file that can't be read, for example because a full disk cut
    it
    short, is skipped and counted. If this process's own files are missing because the folder was cleared, only its own
    series are reported, from memory.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def describe(self) -> list[Metric]:
        return []  # so that nothing is read when it is registered

    def collect(self) -> Iterator[Metric]:
        self._folder.mkdir(parents=True, exist_ok=True)  # a series that is new needs it for its file
        STORE_RETRIES.inc(0)  # after a fork, that opens this process's own files
        _drop_dead_gauges(self._folder)
        whole, damaged = _readable(sorted(self._folder.glob("*.db")))
        own = f"_{os.getpid()}.db"
        _own_files.update(path.name for path in whole if path.name.endswith(own))
        lost = {"counter" + own, *_own_files} - {path.name for path in (*whole, *damaged)}
        FILES_UNREAD.set(len(damaged) + len(lost))
        if lost or any(path.name.endswith(own) for path in damaged):
            yield from _of_this_process()
        else:
            yield from MultiProcessCollector.merge([str(path) for path in whole])  # type: ignore[no-untyped-call]


_own_files: set[str] = set()
"""Names of the files that this process was seen to have."""


def _of_this_process() -> Iterator[Metric]:
    for metric in REGISTRY.collect():
        if not metric.name.startswith(("process_", "python_")):
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


def _drop_dead_gauges(folder: Path) -> None:
    for path in folder.glob("gauge_live*.db"):
        pid = path.stem.rpartition("_")[2]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            mark_process_dead(int(pid), str(folder))  # type: ignore[no-untyped-call]


def _readable(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """Separate the files that can be read completely from the others."""
    whole: list[Path] = []
    damaged: list[Path] = []
    for path in paths:
        try:
            MultiProcessCollector.merge([str(path)])  # type: ignore[no-untyped-call]
        except FileNotFoundError:  # its process has just ended
            continue
        except Exception:  # noqa: BLE001  bytes that are no counts fail in many ways: too short, no JSON, no UTF-8
            damaged.append(path)
        else:
            whole.append(path)
    return whole, damaged
