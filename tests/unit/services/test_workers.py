"""The workers of all services: their tasks, and the options that they share with those that send messages."""

from importlib import import_module

import pytest

from shared.queue.celery_app import make_app
from shared.queue.messages import QUEUES, task_name
from shared.queue.process import WorkerProcess
from shared.queue.worker import register
from shared.settings import WORKERS, StoreSettings, WorkerProcessSettings
from tests.support.settings import NO_BROKER


def started(service: str) -> WorkerProcess:
    settings: WorkerProcessSettings = WORKERS[service](store=StoreSettings(url="unused"), broker=NO_BROKER)
    process = WorkerProcess(settings)
    register(process, *import_module(f"services.{service}.tasks").unit_tasks(settings))
    return process


class TestWorkers:
    @pytest.mark.parametrize("service", WORKERS)
    def test_a_worker_has_the_tasks_of_its_queue_and_no_other(self, service: str) -> None:
        tasks = {name for name in started(service).app.tasks if not name.startswith("celery.")}
        assert tasks == {task_name(kind) for kind, queue in QUEUES.items() if queue == service}

    @pytest.mark.parametrize("service", WORKERS)
    def test_a_worker_has_the_options_of_those_that_send_messages(self, service: str) -> None:
        conf = started(service).app.conf
        for name in ("broker_transport_options", "task_acks_late", "worker_prefetch_multiplier", "accept_content"):
            assert conf[name] == make_app(NO_BROKER).conf[name]
