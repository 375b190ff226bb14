"""The names of all series that Mammostack exports, as queries ask for them."""

from prometheus_client.metrics import MetricWrapperBase

from shared import metrics

OF_BROKER = {
    "celery_queue_length",
    "mammo_queue_oldest_seconds",
    "mammo_messages_in_hand",
    "mammo_broker_up",
    "mammo_broker_memory_bytes",
    "mammo_broker_memory_limit_bytes",
}


def exported() -> set[str]:
    """Without the endings of histograms."""
    own = {
        metric.name + ("_total" if metric.type == "counter" else "")
        for wrapper in vars(metrics).values()
        if isinstance(wrapper, MetricWrapperBase)
        for metric in wrapper.describe()
    }
    return own | OF_BROKER
