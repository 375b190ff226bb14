"""The page of the metrics: names, kinds and labels read from what the code registers, meanings written here."""

from collections.abc import Iterator

from prometheus_client.metrics import MetricWrapperBase

from shared import metrics
from tests.reference.markdown import page, table
from tests.support.series import OF_BROKER

MEANINGS = {
    "mammo_units_total": (
        "W",
        "units of work that a worker ended: done, skipped, cancelled, dropped, failed (and tried again), given up",
    ),
    "mammo_unit_seconds": ("W", "time that a unit took"),
    "mammo_units_in_hand": ("W", "units in hand"),
    "mammo_films_total": ("W", "films that a stage has processed"),
    "mammo_films_set_aside_total": ("W", "films that could not be processed"),
    "mammo_store_errors_total": (
        "*",
        "calls of the object store that failed after all attempts: store-unavailable, store-misconfigured",
    ),
    "mammo_objects_unreadable_total": (
        "*",
        "reads of stored records that are empty, damaged or of a later release, by the first part of their key",
    ),
    "mammo_keys_unread": ("inference", "1 while the API keys in the store can't be read"),
    "mammo_ending_key_requests_total": ("I", "requests with an API key that ends within 7 days; the log names it"),
    "mammo_child_processes_started_total": (
        "IW",
        "starts of the child processes that do the work; more than one for each place is a crash",
    ),
    "mammo_runs_without_messages": (
        "A",
        "unfinished runs that nothing in the broker continues; looked at once a minute",
    ),
    "mammo_batches_without_messages": ("B", "unfinished batches that nothing in the broker continues; the same"),
    "mammo_model_not_loaded": ("I", "1 while the promoted version can't be loaded, also where an earlier one answers"),
    "mammo_store_retries_total": ("*", "requests to the object store that were repeated"),
    "celery_queue_length": ("*", "messages that wait (celery-exporter's name)"),
    "mammo_queue_oldest_seconds": ("*", "age of the message that is next"),
    "mammo_messages_in_hand": ("*", "messages that workers have and have not acknowledged"),
    "mammo_broker_up": ("*", "1 while the broker answers"),
    "mammo_broker_memory_bytes": ("*", "memory that the broker has taken"),
    "mammo_broker_memory_limit_bytes": ("*", "memory that it may take"),
    "mammo_training_epoch": ("T", "epoch that the running job has finished"),
    "mammo_training_loss": ("T", "mean training loss of the last epoch"),
    "mammo_training_images_per_second": ("T", "rate of the last epoch"),
    "mammo_training_learning_rate": ("T", "learning rate of the head at the end of the last epoch"),
    "mammo_training_gpu_memory_bytes": ("T", "most memory of the GPU that the job has taken; on a GPU alone"),
    "mammo_training_progress_timestamp_seconds": ("T", "when a long job began, or last finished an epoch"),
    "mammo_requests_total": ("I", "answers"),
    "mammo_request_seconds": ("I", "from a request's head to its answer"),
    "mammo_requests_in_hand": ("I", "predictions at work or waiting for a slot"),
    "mammo_bytes_in_hand": ("I", "bytes of request bodies that are held; `MAMMO_SERVE_IN_HAND_MB` bounds them"),
    "mammo_queue_seconds": ("I", "wait for its turn, and for the network"),
    "request_preprocess_seconds": ("I", "decode and segment"),
    "request_predict_seconds": ("I", "the network"),
    "request_explain_seconds": ("I", "the activation map"),
    "mammo_connections_ended_total": (
        "I",
        "connections ended because of their client: silent (no whole head), slow-body, unread (the answer), crowded "
        "(too many connections)",
    ),
    "mammo_refusals_total": ("I", "images that were not predicted; not-a-mammogram is the gate"),
    "mammo_predictions_total": ("I", "predictions by class"),
    "mammo_confidence": ("I", "probability of the predicted class"),
    "mammo_input_brightness": ("I", "mean grey inside the breast, 0 to 1"),
    "mammo_input_breast_area": ("I", "share of the frame that is breast"),
    "mammo_input_drift_psi": (
        "I",
        "population stability index of the last 1000 films against the training films; from 100 films on, where the "
        "card knows them",
    ),
    "mammo_applicability_total": (
        "I, B",
        "predicted films by whether the model was trained on their kind: applies, unknown (its card does not say), or "
        "view, acquisition, vendor, bits: each fact that hardly any of its films had. A film counts under each of its "
        "reasons. This is not drift, which compares the pixels of many films with those of the training films",
    ),
    "mammo_model_loads_total": ("I", "attempts to load a promoted model"),
    "mammo_model_engine": (
        "1 for the engine that runs the model in use: library and number format",
        "Which of the offered number formats this CPU runs fastest",
    ),
    "mammo_model_loaded": ("I", "1 for the model that answers, 0 for those before"),
    "mammo_model_created_timestamp_seconds": ("I", "when it was made"),
    "mammo_metrics_files_unread": (
        "*",
        "files of counts that are damaged, or were deleted under the process that writes them: their counts are "
        "missing here",
    ),
    "mammo_gateway_exams_total": (
        "GW",
        "exams: stored, there already, no film, gone, set aside, incomplete (skipped), expired (left the inbox)",
    ),
    "mammo_gateway_films_total": ("GW", "films of predicted exams: predicted, or the reason why a film was not"),
    "mammo_gateway_result_seconds": ("GW", "from the last film of an exam to its stored results"),
    "mammo_gateway_objects_total": (
        "GW",
        "result objects: stored (read back), sent (could not be read back), rejected",
    ),
    "mammo_gateway_received_total": (
        "GW",
        "objects that were pushed: kept, repeated, other object (accepted and dropped), and why a film was refused",
    ),
    "mammo_gateway_received_bytes_total": ("GW", "bytes of the films that were kept"),
    "mammo_gateway_associations_total": (
        "GW",
        "DICOM connections: accepted, or rejected for called title, calling title, too many",
    ),
    "mammo_gateway_archive_up": ("GW", "1 while the archive answers; polling alone"),
    "mammo_gateway_oldest_waiting_seconds": ("GW", "age of the oldest exam without results"),
    "mammo_gateway_inbox_films": ("GW", "films that wait in the inbox"),
    "mammo_gateway_outbox_exams": ("GW", "predicted exams whose results are not stored everywhere"),
    "mammo_batch_images_total": ("B", "images of batches: predicted, or the problem's code"),
}
"""Series -> who exports it (W, T, I, B or * as the page explains) and what it says."""

INTRODUCTION = """
The inference service exports them at `/metrics` to a key with the scope `metrics`; workers at the port
`MAMMO_METRICS_PORT`, without a key. Times are in seconds. Labels hold nothing that a client chose; counts of several
processes are summed. Dashboards are in `deploy/grafana`, alerts in `deploy/prometheus/alerts.yml`.

Histograms end with `_bucket`, `_sum` and `_count`. From: I is the inference service, W every worker, T the training
worker, A the augment worker, B the worker of batches, GW the gateway and its worker, * all of them.
"""

MONITORING = """
## With the profile `monitoring`

No alert and no panel needs more than the table above. The exporters add what a look at the broker itself may want:

- redis_exporter, job `redis`: `redis_up`, `redis_memory_used_bytes`, `redis_memory_max_bytes`,
  `redis_connected_clients`, `redis_evicted_keys_total` (never more than 0), `redis_aof_last_write_status` and many
  more. Tests run the one of Debian (1.45) against a broker with a password.
- celery-exporter, job `celery`: tasks as Celery sees them, such as `celery_task_runtime`, `celery_worker_up` and
  `celery_queue_length`, which is ours too: hence `max by (queue_name)` wherever we ask for it. It has not been run by
  the project; its names are read from its source.
"""


def metrics_page() -> str:
    """List every series with its labels and its meaning."""
    rows = [(f"`{name}`", ", ".join(labels), MEANINGS[name][0], MEANINGS[name][1]) for name, labels in series()]
    return page("Metrics", INTRODUCTION, table(("series", "labels", "from", "what"), rows), MONITORING)


def series() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the name of every series, without the endings of histograms, and its labels."""
    for wrapper in vars(metrics).values():
        if isinstance(wrapper, MetricWrapperBase):
            (metric,) = wrapper.describe()
            yield metric.name + ("_total" if metric.type == "counter" else ""), wrapper._labelnames
    for name in sorted(OF_BROKER):
        yield name, ("queue_name",) if "queue" in name else ()
