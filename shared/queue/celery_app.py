"""The Celery application, the same for workers and senders of messages."""

from celery import Celery

from shared.queue.transport import take_over_redis
from shared.settings import BrokerSettings


def make_app(config: BrokerSettings) -> Celery:
    """Create the Celery application, with the same options for workers and senders.

    A shorter visibility time-out in one process would deliver the messages of the others twice.
    """
    take_over_redis()
    app = Celery("mammostack", broker=config.redis_url.get_secret_value())
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=True,
        worker_proc_alive_timeout=120,  # of a child that waits for room; it would be killed, and the next one started
        worker_consumer="shared.queue.consumer:PatientConsumer",
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,  # "read only" and "out of memory" are answers, and pass
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_transport_options={
            "visibility_timeout": config.visibility_timeout_s,
            "unacked_restore_interval": 2,
            "unacked_restore_throttle": 1,
            # a worker that is killed while it looks for lost messages must not keep the others from looking
            "unacked_mutex_expire": 5,
            "socket_connect_timeout": 5,
            "socket_timeout": 30,
            "socket_keepalive": True,
        },
    )
    return app
