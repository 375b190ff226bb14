"""Hold messages that are to wait, and hand back those that only a later release understands.

A message that was sent again names the seconds that it waits; Celery's own delay is a time, which is another one by the
clock of another machine.

A message of a later release is a unit of a kind that this release has no task for, or has arguments of a later layout.
Celery would drop it. It is held for some seconds, so that workers of one release don't pass it round without a pause,
and goes to the end of its queue.
"""

import logging
from collections.abc import Callable
from typing import Any

from celery.worker.consumer import Consumer

from shared.queue.messages import SCHEMA, SCHEMA_NUMBER, WAIT_S

_HELD_S = 5.0
_log = logging.getLogger("mammostack.worker")


class PatientConsumer(Consumer):  # type: ignore[misc]  # celery has no types
    """Consumer that holds messages, and leaves those of later releases to their workers."""

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Any], None]:
        """Return the function that takes a message."""
        take: Callable[[Any], None] = super().create_task_handler(*arguments, **options)

        def take_or_leave(message: Any) -> None:
            if _header(message, SCHEMA, 1) > SCHEMA_NUMBER + 1:
                self._leave(message)
            elif wait_s := _header(message, WAIT_S, 0):
                self._hold(wait_s, take, message)
            else:
                take(message)

        return take_or_leave

    def on_unknown_task(self, _body: object, message: Any, _exc: Exception) -> None:
        """Take a message without a task of this release."""
        self._leave(message)

    def _leave(self, message: Any) -> None:
        name = (message.headers or {}).get("task", "?")
        _log.warning("the message %s was made by a later release; deploy it or later", name)
        self._hold(_HELD_S, self._hand_back, message)

    def _hold(self, seconds: float, then: Callable[[Any], None], message: Any) -> None:
        """Call `then` with a message after some seconds; the worker takes others meanwhile.

        Celery keeps its timers when the connection is lost, while the broker delivers the message again: the one that
        was held is dropped then. A new connection has a new `qos`, which does not count what was held before.
        """
        qos = self.qos
        qos.increment_eventually()
        self.timer.call_after(seconds, self._go_on, (qos, then, message))

    def _go_on(self, qos: Any, then: Callable[[Any], None], message: Any) -> None:
        if self.qos is not qos:
            return
        then(message)
        qos.decrement_eventually()

    def _hand_back(self, message: Any) -> None:
        message.reject_log_error(_log, self.connection_errors, requeue=True)


def _header(message: Any, name: str, default: float) -> float:
    value = (message.headers or {}).get(name, default)
    return value if isinstance(value, int | float) else default
