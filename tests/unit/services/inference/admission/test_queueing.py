"""Admission queue: so many at work, the others in order behind them, and no more than the queue holds."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.inference.admission.queueing import AdmissionQueue, ClientGone, DeadlinePassed, Overloaded


class Busy:
    """Holds every slot, or some, until `let_go`."""

    def __init__(self, queue: AdmissionQueue, held: int | None = None) -> None:
        held = held or queue.slots
        self._go = threading.Event()
        self._pool = ThreadPoolExecutor(held)
        begun = threading.Barrier(held + 1)

        def hold() -> None:
            with queue.slot():
                begun.wait(5)
                self._go.wait(5)

        self._held = [self._pool.submit(hold) for _ in range(held)]
        begun.wait(5)

    def let_go(self) -> None:
        self._go.set()
        for held in self._held:
            held.result(5)


def wait_for_depth(queue: AdmissionQueue, depth: int) -> None:
    until = time.monotonic() + 5
    while queue.depth != depth:
        assert time.monotonic() < until
        time.sleep(0.005)


class TestAdmissionQueue:
    def test_no_more_work_at_a_time_than_there_are_slots(self) -> None:
        queue, at_work, most = AdmissionQueue(2, 50), [], []

        def work(number: int) -> None:
            with queue.slot():
                at_work.append(number)
                most.append(len(at_work))
                time.sleep(0.005)
                at_work.remove(number)

        with ThreadPoolExecutor(20) as pool:
            list(pool.map(work, range(40)))
        assert max(most) == 2
        assert queue.depth == 0

    def test_a_lone_request_is_told_that_it_is_alone_and_another_one_not(self) -> None:
        queue = AdmissionQueue(2, 5)
        with queue.slot() as first:
            assert first.alone
            with queue.slot() as second:
                assert not second.alone
        with queue.slot() as third:
            assert third.alone

    def test_those_who_wait_are_served_in_the_order_they_came(self) -> None:
        queue, order = AdmissionQueue(1, 10), []
        busy = Busy(queue)

        def work(number: int) -> None:
            with queue.slot():
                order.append(number)

        with ThreadPoolExecutor(5) as pool:
            for number in range(5):
                pool.submit(work, number)
                wait_for_depth(queue, number + 1)
            busy.let_go()
        assert order == [0, 1, 2, 3, 4]

    def test_beyond_the_queue_a_request_is_refused_at_once_with_the_time_to_come_back(self) -> None:
        queue = AdmissionQueue(1, 1)
        busy = Busy(queue)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(lambda: queue.slot().__enter__())
            wait_for_depth(queue, 1)
            began = time.monotonic()
            with pytest.raises(Overloaded) as refused, queue.slot():
                pass
            assert time.monotonic() - began < 1
            assert refused.value.retry_after_s >= 1
            busy.let_go()
            waiting.result(5)

    def test_a_deadline_that_passes_in_the_queue_frees_the_place_in_it(self) -> None:
        queue = AdmissionQueue(1, 1)
        busy = Busy(queue)
        for _ in range(3):
            with pytest.raises(DeadlinePassed), queue.slot(deadline_s=0.02):
                pass
        assert queue.depth == 0
        busy.let_go()
        with queue.slot(deadline_s=0.02) as slot:
            assert slot.alone

    def test_work_of_a_client_that_has_gone_is_not_done_and_the_lane_goes_on(self) -> None:
        queue = AdmissionQueue(1, 1)
        with pytest.raises(ClientGone), queue.slot(is_gone=lambda: True):
            raise AssertionError("nobody waits for this")
        with queue.slot() as slot:
            assert slot.alone

    def test_work_that_fails_gives_its_lane_back(self) -> None:
        queue = AdmissionQueue(1, 0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError), queue.slot():
                _ = 1 / 0
        with queue.slot() as slot:
            assert slot.alone

    def test_under_many_deadlines_no_lane_is_ever_lost(self) -> None:
        queue = AdmissionQueue(2, 100)

        def work(number: int) -> bool:
            try:
                with queue.slot(deadline_s=0.001 * (number % 7)):
                    time.sleep(0.002)
            except DeadlinePassed:
                return False
            return True

        with ThreadPoolExecutor(30) as pool:
            served = list(pool.map(work, range(400)))
        assert any(served)
        assert not all(served)
        with queue.slot() as slot:
            assert slot.alone
