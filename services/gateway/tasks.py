"""The gateway's worker: brings exams from their films to stored results, one at a time."""

import re
import traceback
from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

from services.gateway import set_aside, tickets
from services.gateway.bootstrap import exam_flow
from services.gateway.flow import ExamFlow
from shared import metrics
from shared.errors import MammoError, RunNotFound
from shared.queue.broker import Broker
from shared.queue.messages import Message
from shared.queue.unit_task import UnitTask
from shared.settings import GatewayProcessSettings
from shared.store import layout
from shared.store.interface import ObjectStore

T = TypeVar("T")

_HASH = re.compile(r"[0-9a-f]{64}")


class ExamFault(MammoError):
    """A fault of the gateway on an exam; names the kind of error and its place, since its words may quote a header."""

    code = "exam-fault"
    retryable = True


class ExamTask(UnitTask[str]):
    """Do exams, named by the hash of their study's UID."""

    def __init__(self, settings: GatewayProcessSettings) -> None:
        super().__init__(tickets.KIND)
        self._settings = settings
        metrics.GATEWAY_EXAMS.labels("set aside")  # 0 from the start, so that the first one is seen to be one

    @cached_property
    def _flow(self) -> ExamFlow:
        return exam_flow(self._settings)

    def load(self, _store: ObjectStore, message: Message) -> str:
        if not _HASH.fullmatch(message.unit):
            raise RunNotFound("a message names no exam; it is dropped")
        return message.unit

    def done_key(self, unit: str) -> str:
        return layout.gateway_result(unit)

    def is_cancelled(self, _store: ObjectStore, _unit: str) -> bool:
        return False

    def is_done(self, _store: ObjectStore, _unit: str) -> bool:
        """Return False: what is done is read from the archive, while the exam is done."""
        return False

    def execute(self, _store: ObjectStore, broker: Broker, unit: str, _stopping: Callable[[], bool]) -> None:
        last_film = tickets.renew(broker, unit)
        outcome = _flow_errors(lambda: self._flow.process(unit, last_film))
        metrics.GATEWAY_EXAMS.labels(outcome).inc()

    def advance(self, store: ObjectStore, broker: Broker, unit: str) -> None:
        set_aside.take_back(store, unit)
        tickets.drop(broker, unit)

    def on_failure(self, store: ObjectStore, broker: Broker, message: Message, error: Exception) -> str:
        films = _flow_errors(lambda: self._flow.exam(message.unit).films)
        noted = set_aside.set_aside(store, message.unit, films, error)
        metrics.GATEWAY_EXAMS.labels("set aside").inc()
        tickets.drop(broker, message.unit)
        return noted.message


def _flow_errors(call: Callable[[], T]) -> T:
    """Return what a call returns; replace errors that are not ours, whose words may quote a header.

    Raises:
        MammoError: whatever went wrong.
    """
    try:
        return call()
    except MammoError:
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, its words must not be logged
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{place.filename.rpartition('/')[2]}:{place.lineno}"
        raise ExamFault(f"{where} failed with {type(error).__name__}; report it with this line") from None


def unit_tasks(settings: GatewayProcessSettings) -> tuple[ExamTask]:
    """Return the kinds of units that this worker does."""
    return (ExamTask(settings),)
