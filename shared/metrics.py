"""Every Prometheus series that Mammostack exports. Times are in seconds; no label ever holds an id of a person,
a request or a film."""

import os

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

_UNIT_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400)
_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)

UNITS = Counter("mammo_units", "Units of work that a worker ended, by outcome", ["stage", "outcome"])
UNIT_SECONDS = Histogram("mammo_unit_seconds", "Time that a unit of work took", ["stage"], buckets=_UNIT_BUCKETS)
FILMS_SET_ASIDE = Counter("mammo_films_set_aside", "Films that could not be processed", ["stage"])
TRAIN_EPOCH = Gauge("mammo_training_epoch", "Epoch that the running training job has finished", ["network"])
TRAIN_LOSS = Gauge("mammo_training_loss", "Mean training loss of the last epoch", ["network"])
TRAIN_RATE = Gauge("mammo_training_images_per_second", "Rate of the last epoch", ["network"])

REQUESTS = Counter("mammo_requests", "Answers of the inference API", ["route", "status"])
PREDICT_SECONDS = Histogram(
    "request_predict_seconds", "Time in the network", ["model_name", "model_version"], buckets=_REQUEST_BUCKETS
)
PREPROCESS_SECONDS = Histogram(
    "request_preprocess_seconds", "Time to decode and segment", ["model_name"], buckets=_REQUEST_BUCKETS
)
QUEUE_SECONDS = Histogram(
    "mammo_queue_seconds", "Time that a request waited for a lane", ["model_name"], buckets=_REQUEST_BUCKETS
)
EXPLAIN_SECONDS = Histogram(
    "request_explain_seconds", "Time to make the activation map", ["model_name"], buckets=_REQUEST_BUCKETS
)
REFUSALS = Counter("mammo_refusals", "Images that were not predicted", ["reason"])
PREDICTIONS = Counter("mammo_predictions", "Predictions by class", ["model_name", "model_version", "predicted"])
BATCH_IMAGES = Counter(
    "mammo_batch_images", "Images of batches that have their answer: predicted, or the problem's code", ["outcome"]
)
MODEL_LOADS = Counter("mammo_model_loads", "Attempts to load a promoted model, by outcome", ["outcome"])
MODEL_INFO = Gauge(
    "mammo_model_loaded", "1 for the model that answers", ["model_name", "model_version"], multiprocess_mode="livemax"
)


def exposition() -> bytes:
    """The text that `/metrics` answers."""
    return generate_latest(registry())


def registry() -> CollectorRegistry:
    """Every series of this service, summed over all processes when there are several."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    summed = CollectorRegistry()
    multiprocess.MultiProcessCollector(summed)  # type: ignore[no-untyped-call]
    return summed
