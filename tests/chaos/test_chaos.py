"""The real pipeline while processes, broker, store and clocks fail at random moments: nothing is lost, nothing is done
twice to effect. `make chaos` does the same for longer, with more faults.
"""

import pytest

from tests.chaos.cluster import Cluster
from tests.chaos.rounds import Films, play

ROUNDS = {
    "processes": ("kill_child", "kill_worker", "drain_worker", "kill_child", "kill_all_workers"),
    "broker": ("kill_broker", "wipe_broker", "kill_broker"),
    "a broker that takes nothing": ("broker_read_only", "broker_out_of_memory", "fill_broker_disk"),
    "store": ("disturb_store", "fill_disk", "stop_store"),
    "full /tmp": ("fill_tmp", "fill_tmp", "fill_tmp"),
    "clocks and messages": ("jump_clock", "kill_worker", "skew_clocks"),
    "releases": ("swap_release", "swap_release", "swap_release"),
}


class TestChaos:
    @pytest.mark.parametrize("kind", ROUNDS)
    def test_a_run_that_is_hurt_leaves_what_an_undisturbed_one_leaves(
        self, cluster: Cluster, films: Films, undisturbed: dict[str, str], seed: int, kind: str
    ) -> None:
        print(f"seed {seed}")
        cluster.deliver_twice(on=kind == "clocks and messages")
        outcome = play(cluster, films, [getattr(cluster, name) for name in ROUNDS[kind]], undisturbed)
        print(outcome)
        assert outcome.wrong == []
        assert outcome.faults
