"""Films that are ready while the network is at work go together, each gets its own answer; when they are prepared."""

import gc
import os
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Barrier, Event

import numpy as np
import pytest

from services.inference.admission.batching import MicroBatcher, NetworkOutput, cores_for
from shared.domain.arrays import Float32Array

needs_two_cores = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores, and Linux"
)


def film(value: float) -> Float32Array:
    return np.full((1, 1, 2, 2), value, np.float32)


class Network:
    """Says of each film the value that it is made of, once it is told to go on."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.cores: list[set[int]] = []
        self.begun, self.go_on = Event(), Event()

    def __call__(self, films: Float32Array) -> NetworkOutput:
        values = films[:, 0, 0, 0]
        self.batches.append(values.tolist())
        self.cores.append(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set())
        self.begun.set()
        assert self.go_on.wait(10)
        return NetworkOutput(np.repeat(values[:, None], 3, axis=1), films)


def submit(
    pool: ThreadPoolExecutor, together: MicroBatcher, call: Callable[[], NetworkOutput], depth: int
) -> Future[NetworkOutput]:
    """A call that finds no place free; when this returns it waits, the last of `depth`."""
    asked, until = pool.submit(call), time.monotonic() + 10
    while together.depth < depth:
        assert not asked.done()
        assert time.monotonic() < until
    return asked


def ask_in_order(pool: ThreadPoolExecutor, together: MicroBatcher, values: list[float]) -> list[Future[NetworkOutput]]:
    """Calls that find no place free; each is made when the one before waits."""
    return [
        submit(pool, together, partial(together.run, film(value)), number) for number, value in enumerate(values, 1)
    ]


def begin(pool: ThreadPoolExecutor, together: MicroBatcher, network: Network, value: float) -> Future[NetworkOutput]:
    """A call that takes a free place."""
    network.begun.clear()
    asked = pool.submit(together.run, film(value))
    assert network.begun.wait(10)
    return asked


def told(asked: list[Future[NetworkOutput]]) -> list[float]:
    return [float(each.result(10).logits[0, 0]) for each in asked]


def test_those_that_came_while_it_was_at_work_go_together_and_each_gets_its_own_answer() -> None:
    network = Network()
    together = MicroBatcher(network, places=1, most=32)
    with ThreadPoolExecutor(5) as pool:
        first = begin(pool, together, network, 0)
        others = ask_in_order(pool, together, [1, 2, 3, 4])
        network.go_on.set()
        assert told([first, *others]) == [0, 1, 2, 3, 4]
        assert [each.result().features.shape for each in others] == [(1, 1, 2, 2)] * 4
    assert network.batches == [[0], [1, 2, 3, 4]]


def test_no_more_go_together_than_may() -> None:
    network = Network()
    together = MicroBatcher(network, places=1, most=2)
    with ThreadPoolExecutor(6) as pool:
        first = begin(pool, together, network, 0)
        others = ask_in_order(pool, together, [1, 2, 3, 4, 5])
        network.go_on.set()
        assert told([first, *others]) == [0, 1, 2, 3, 4, 5]
    assert network.batches == [[0], [1, 2], [3, 4], [5]]


class Preparing:
    """Makes films of one value each, once it is told to go on; `order` holds those that were begun."""

    def __init__(self) -> None:
        self.order: list[float] = []
        self.go_on = Event()

    def film(self, value: float) -> Callable[[], Float32Array]:
        def prepare() -> Float32Array:
            self.order.append(value)
            assert self.go_on.wait(10)
            return film(value)

        return prepare


def test_each_place_prepares_a_film_where_none_is_ready_and_answers_it() -> None:
    network, preparing = Network(), Preparing()
    together = MicroBatcher(network, places=2, most=2)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(together.run_prepared, preparing.film(value)) for value in (1, 2)]
        while len(preparing.order) < 2:
            assert not any(each.done() for each in asked)
        asked.append(submit(pool, together, partial(together.run_prepared, preparing.film(3)), depth=1))
        assert sorted(preparing.order) == [1, 2]
        preparing.go_on.set()
        network.go_on.set()
        assert told(asked) == [1, 2, 3]


def test_a_place_prepares_until_as_much_is_ready_as_goes_together() -> None:
    network, preparing = Network(), Preparing()
    preparing.go_on.set()
    together = MicroBatcher(network, places=1, most=2)
    with ThreadPoolExecutor(5) as pool:
        first = begin(pool, together, network, 0)
        others = [
            submit(pool, together, partial(together.run_prepared, preparing.film(number)), number)
            for number in (1, 2, 3, 4)
        ]
        assert preparing.order == []
        network.go_on.set()
        assert told([first, *others]) == [0, 1, 2, 3, 4]
    assert network.batches == [[0], [1, 2], [3, 4]]
    assert preparing.order == [1, 2, 3, 4]


def test_what_is_ready_is_answered_while_another_place_prepares() -> None:
    network, preparing = Network(), Preparing()
    together = MicroBatcher(network, places=2, most=2)
    with ThreadPoolExecutor(4) as pool:
        first = begin(pool, together, network, 0)
        large = pool.submit(together.run_prepared, preparing.film(1))
        while not preparing.order:
            assert not large.done()
        ready = ask_in_order(pool, together, [2])
        waits = submit(pool, together, partial(together.run_prepared, preparing.film(3)), depth=2)
        network.go_on.set()
        assert told([first, *ready]) == [0, 2]
        while len(preparing.order) < 2:  # nothing else is to be done
            assert not waits.done()
        preparing.go_on.set()
        assert told([large, waits]) == [1, 3]


def test_a_film_that_cannot_be_prepared_fails_alone_and_gives_its_place_on() -> None:
    network = Network()
    network.go_on.set()
    together = MicroBatcher(network, places=1, most=2)

    def prepare() -> Float32Array:
        raise ArithmeticError("no film")

    for _ in range(2):
        with pytest.raises(ArithmeticError, match="no film"):
            together.run_prepared(prepare)
    assert together.run_prepared(lambda: film(3)).logits[0, 0] == 3
    assert together.depth == 0


def test_all_are_prepared_and_answered_however_many_come_at_once() -> None:
    network = Network()
    network.go_on.set()
    together = MicroBatcher(network, places=3, most=2)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(together.run_prepared, [lambda value=value: film(value) for value in range(500)]))
    assert [int(answer.logits[0, 0]) for answer in answers] == list(range(500))
    assert max(map(len, network.batches)) <= 2
    assert together.depth == 0


def test_a_call_that_finds_a_place_free_waits_for_nobody() -> None:
    network = Network()
    network.go_on.set()
    together = MicroBatcher(network, places=1, most=8)
    assert together.run(film(7)).waited_s < 0.5
    assert [float(together.run(film(value)).logits[0, 0]) for value in (1, 2)] == [1, 2]
    assert network.batches == [[7], [1], [2]]


def test_the_time_before_the_network_began_is_told() -> None:
    network = Network()
    together = MicroBatcher(network, places=1, most=8)
    with ThreadPoolExecutor(2) as pool:
        first = begin(pool, together, network, 0)
        (second,) = ask_in_order(pool, together, [1])
        assert not Event().wait(0.05)
        network.go_on.set()
        assert first.result(10).waited_s < second.result(10).waited_s
        assert second.result(10).waited_s >= 0.05


def test_films_and_features_are_given_back_without_the_garbage_collector() -> None:
    """A batch that held its own first call kept all of them."""
    network = Network()
    network.go_on.set()
    together = MicroBatcher(network, places=1, most=2)
    films = film(1)
    gone = weakref.ref(films)
    gc.disable()
    try:
        together.run(films)
        del films
        assert gone() is None
    finally:
        gc.enable()


def test_a_failure_is_told_to_all_of_the_batch_and_the_next_one_works() -> None:
    network, fails = Network(), True

    def forward(films: Float32Array) -> NetworkOutput:
        answer = network(films)
        if fails and len(films) > 1:
            raise ArithmeticError("it does not work")
        return answer

    together = MicroBatcher(forward, places=1, most=8)
    with ThreadPoolExecutor(3) as pool:
        first = begin(pool, together, network, 0)
        others = ask_in_order(pool, together, [1, 2])
        network.go_on.set()
        assert told([first]) == [0]
        for each in others:
            with pytest.raises(ArithmeticError, match="does not work"):
                each.result(10)
    fails = False
    assert float(together.run(film(3)).logits[0, 0]) == 3


def test_all_are_answered_however_many_come_at_once() -> None:
    network = Network()
    network.go_on.set()
    together = MicroBatcher(network, places=3, most=2)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(together.run, [film(value) for value in range(500)]))
    assert [int(answer.logits[0, 0]) for answer in answers] == list(range(500))
    assert sum(map(len, network.batches)) == 500
    assert max(map(len, network.batches)) <= 2
    assert together.depth == 0


@needs_two_cores
def test_who_takes_the_last_place_keeps_to_its_core_and_the_thread_may_use_all_again_afterwards() -> None:
    mine, network = os.sched_getaffinity(0), Network()
    together = MicroBatcher(network, places=2, most=1, cores=sorted(mine)[:2])
    with ThreadPoolExecutor(2) as pool:
        first, second = (begin(pool, together, network, value) for value in (0, 1))
        network.go_on.set()
        assert told([first, second]) == [0, 1]
        assert network.cores[0] == mine  # a place was free: no need to keep to one core
        assert len(network.cores[1]) == 1
        assert [pool.submit(os.sched_getaffinity, 0).result(10) for _ in range(2)] == [mine, mine]


@needs_two_cores
def test_places_that_are_handed_on_while_others_wait_keep_to_different_cores() -> None:
    network, met = Network(), Barrier(2)

    def forward(films: Float32Array) -> NetworkOutput:
        answer = network(films)
        met.wait(10)  # two are always at work together
        return answer

    together = MicroBatcher(forward, places=2, most=1, cores=sorted(os.sched_getaffinity(0))[:2])
    with ThreadPoolExecutor(4) as pool:
        asked = [begin(pool, together, network, value) for value in (0, 1)]
        asked += ask_in_order(pool, together, [2, 3])
        network.go_on.set()
        assert sorted(told(asked)) == [0, 1, 2, 3]
    third, fourth = network.cores[2:]
    assert len(third) == len(fourth) == 1
    assert third != fourth


def test_a_core_that_may_not_be_used_any_more_stops_nobody() -> None:
    network = Network()
    network.go_on.set()
    assert MicroBatcher(network, places=1, most=1, cores=[100_000]).run(film(1)).logits.shape == (1, 3)


@needs_two_cores
def test_places_have_cores_of_their_own_only_where_there_are_as_many() -> None:
    mine = sorted(os.sched_getaffinity(0))
    assert cores_for(len(mine)) == tuple(mine)
    assert cores_for(len(mine) - 1) == cores_for(len(mine) + 1) == ()
