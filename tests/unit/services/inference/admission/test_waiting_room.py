"""Connections that wait for their client are ended in time, counted, and make room for others."""

import selectors
import time
from types import SimpleNamespace
from typing import Any

import pytest

from services.inference.admission.waiting_room import Wait, WaitingRoom, Why
from shared import metrics


class _Room(WaitingRoom):
    """A room of connections that are no sockets; `closed` has those that it closed, and whether bytes were dropped."""

    def __init__(self) -> None:
        super().__init__(
            SimpleNamespace(register=lambda *_: None, unregister=lambda _: None),
            lambda conn, drop: self.closed.append((conn.name, drop)),
        )
        self.closed: list[tuple[str, bool]] = []

    def admit(self, name: str, why: Why, seconds: float = 60, unsent: int = 0) -> Wait:
        wait = Wait(why, time.monotonic() + seconds, seconds)
        sock = SimpleNamespace(setblocking=lambda _: None, unsent=bytes(unsent))
        self.enter(_Connection(name=name, sock=sock), wait, selectors.EVENT_READ, lambda _conn, _wait: None)
        return wait


class _Connection(SimpleNamespace):
    __hash__ = object.__hash__  # type: ignore[assignment]


def counted(why: str) -> Any:
    return metrics.CONNECTIONS_ENDED.labels(why)._value.get()


class TestWaitingRoom:
    @pytest.mark.parametrize(
        ("why", "counts", "drops"), [("silent", 1, False), ("unread", 1, True), ("idle", 0, False)]
    )
    def test_overdue_connections_are_ended_and_counted_unless_that_is_ordinary(
        self, why: Why, counts: int, drops: bool
    ) -> None:
        room, before = _Room(), counted(why)
        room.admit("late", why, -1)
        room.admit("in time", why)
        room.end_overdue()
        assert room.closed == [("late", drops)]
        assert counted(why) - before == counts

    def test_an_event_of_a_connection_that_was_ended_in_the_same_turn_is_passed_over(self) -> None:
        registered: list[Any] = []
        poller = SimpleNamespace(
            register=lambda _sock, _event, call: registered.append(call), unregister=lambda _: None
        )
        closed: list[str] = []
        room = WaitingRoom(poller, lambda conn, _drop: closed.append(conn.name))
        conn = _Connection(name="one", sock=SimpleNamespace(setblocking=lambda _: None))
        wait = Wait("lingering", time.monotonic() + 60, 60)
        room.enter(conn, wait, selectors.EVENT_READ, lambda conn, _wait: room.end(conn, "lingering"))
        assert room.end_oldest()
        registered[0](conn.sock)
        assert closed == ["one"]

    def test_progress_gives_time_but_never_beyond_the_whole(self) -> None:
        wait = Wait("unread", time.monotonic() + 5, 2)
        wait.due = 0
        wait.progress()
        assert time.monotonic() + 1 < wait.due < wait.until
        wait.patience = 100
        wait.progress()
        assert wait.due == wait.until

    def test_the_oldest_without_a_request_makes_room_before_those_that_were_answered(self) -> None:
        room, before = _Room(), counted("crowded")
        for name, why in (("reader", "unread"), ("idler", "idle"), ("first", "silent"), ("second", "lingering")):
            room.admit(name, why)
        while room.end_oldest():
            pass
        assert [name for name, _ in room.closed] == ["first", "second", "idler", "reader"]
        assert counted("crowded") - before == 4

    def test_answers_that_are_not_read_are_bounded_together(self) -> None:
        room = _Room()
        for name in ("a", "b", "c"):
            room.admit(name, "unread", unsent=40)
        room.bound_unsent(80)
        assert room.closed == [("a", True)]

    def test_a_stopping_service_waits_for_no_new_request(self) -> None:
        room = _Room()
        idle, unread = room.admit("idle", "idle"), room.admit("unread", "unread")
        room.hurry_heads(time.monotonic() + 1)
        assert idle.due < time.monotonic() + 2 < unread.due
