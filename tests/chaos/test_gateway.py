"""Exams on their way through the gateway while its processes, archive, inference, broker and store fail at random
moments: no film is lost, and each exam ends with one current result of each kind. `make chaos GATEWAY=1` lasts longer.
"""

from collections.abc import Iterator

import pytest

from tests.chaos.gateway_cluster import GatewayCluster
from tests.chaos.gateway_rounds import MANNERS, Exam, play

FAULTS = ("kill_worker", "kill_broker", "kill_worker", "stop_store", "kill_worker", "wipe_broker", "kill_all_workers")


@pytest.fixture(scope="module")
def cluster(seed: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayCluster]:
    with GatewayCluster(tmp_path_factory.mktemp("gateway"), seed, print).running() as cluster:
        cluster.away_s = 4.0
        yield cluster


class TestGateway:
    def test_exams_get_one_current_result_of_each_kind_whatever_is_killed(
        self, cluster: GatewayCluster, seed: int
    ) -> None:
        print(f"seed {seed}")
        ways = [(manner, pushed) for manner in MANNERS for pushed in (True, False)]
        exams = [Exam(number, manner, pushed) for number, (manner, pushed) in enumerate(ways, 1)]
        outcome = play(cluster, exams, [getattr(cluster, name) for name in FAULTS])
        print(outcome)
        assert outcome.wrong == []
        assert outcome.faults == list(FAULTS)
        assert outcome.reports >= 2 * len(exams)
