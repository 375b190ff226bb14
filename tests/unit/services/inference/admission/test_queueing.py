"""Lanes: so many at work, the others in order behind them, and no more than the queue holds."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.inference.admission.queueing import ClientGone, DeadlinePassed, Lanes, Overloaded


class Busy:
    """Holds every lane, or some, until it is told to let go."""

    def __init__(self, lanes: Lanes, held: int | None = None) -> None:
        held = held or lanes.lanes
        self._go = threading.Event()
        self._pool = ThreadPoolExecutor(held)
        begun = threading.Barrier(held + 1)

        def hold() -> None:
            with lanes.turn():
                begun.wait(5)
                self._go.wait(5)

        self._held = [self._pool.submit(hold) for _ in range(held)]
        begun.wait(5)

    def let_go(self) -> None:
        self._go.set()
        for held in self._held:
            held.result(5)


def wait_for_depth(lanes: Lanes, depth: int) -> None:
    until = time.monotonic() + 5
    while lanes.depth != depth:
        assert time.monotonic() < until
        time.sleep(0.005)


def test_no_more_work_at_a_time_than_there_are_lanes() -> None:
    lanes, at_work, most = Lanes(2, 50), [], []

    def work(number: int) -> None:
        with lanes.turn():
            at_work.append(number)
            most.append(len(at_work))
            time.sleep(0.005)
            at_work.remove(number)

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(work, range(40)))
    assert max(most) == 2
    assert lanes.depth == 0


def test_a_lone_request_is_told_that_it_is_alone_and_another_one_not() -> None:
    lanes = Lanes(2, 5)
    with lanes.turn() as first:
        assert first.alone
        with lanes.turn() as second:
            assert not second.alone
    with lanes.turn() as third:
        assert third.alone


def test_those_who_wait_are_served_in_the_order_they_came() -> None:
    lanes, order = Lanes(1, 10), []
    busy = Busy(lanes)

    def work(number: int) -> None:
        with lanes.turn():
            order.append(number)

    with ThreadPoolExecutor(5) as pool:
        for number in range(5):
            pool.submit(work, number)
            wait_for_depth(lanes, number + 1)
        busy.let_go()
    assert order == [0, 1, 2, 3, 4]


def test_beyond_the_queue_a_request_is_refused_at_once_with_the_time_to_come_back() -> None:
    lanes = Lanes(1, 1)
    busy = Busy(lanes)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: lanes.turn().__enter__())
        wait_for_depth(lanes, 1)
        began = time.monotonic()
        with pytest.raises(Overloaded) as refused, lanes.turn():
            pass
        assert time.monotonic() - began < 1
        assert refused.value.retry_after_s >= 1
        busy.let_go()
        waiting.result(5)


def test_a_deadline_that_passes_in_the_queue_frees_the_place_in_it() -> None:
    lanes = Lanes(1, 1)
    busy = Busy(lanes)
    for _ in range(3):
        with pytest.raises(DeadlinePassed), lanes.turn(deadline_s=0.02):
            pass
    assert lanes.depth == 0
    busy.let_go()
    with lanes.turn(deadline_s=0.02) as turn:
        assert turn.alone


def test_work_of_a_client_that_has_gone_is_not_done_and_the_lane_goes_on() -> None:
    lanes = Lanes(1, 1)
    with pytest.raises(ClientGone), lanes.turn(is_gone=lambda: True):
        raise AssertionError("nobody waits for this")
    with lanes.turn() as turn:
        assert turn.alone


def test_work_that_fails_gives_its_lane_back() -> None:
    lanes = Lanes(1, 0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), lanes.turn():
            _ = 1 / 0
    with lanes.turn() as turn:
        assert turn.alone


def test_under_many_deadlines_no_lane_is_ever_lost() -> None:
    lanes = Lanes(2, 100)

    def work(number: int) -> bool:
        try:
            with lanes.turn(deadline_s=0.001 * (number % 7)):
                time.sleep(0.002)
        except DeadlinePassed:
            return False
        return True

    with ThreadPoolExecutor(30) as pool:
        served = list(pool.map(work, range(400)))
    assert any(served)
    assert not all(served)
    with lanes.turn() as turn:
        assert turn.alone
