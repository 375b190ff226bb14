"""`make chaos GATEWAY=1`: round after round of exams through the gateway with random faults, until there were enough.

Prints every fault as it happens and a summary at the end; ends with 1 when a film was lost, or a result is missing or
doubled.
"""

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.bench.results import record
from tests.chaos.gateway_cluster import GatewayCluster
from tests.chaos.gateway_rounds import MANNERS, Exam, Outcome, play
from tests.chaos.storm import say

FAULTS = (
    *("kill_worker", "kill_worker", "kill_child", "kill_all_workers", "drain_worker", "pause_worker"),
    *("kill_broker", "wipe_broker", "stop_store", "fill_disk", "disturb_store"),
)
_EXAMS_IN_A_ROUND, _MOST_IN_A_ROUND = 6, 7


def main() -> int:
    """Play rounds until `--faults` faults have struck."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--record", action="store_true", help="keep the summary in benchmarks/RESULTS.md")
    given = parser.parse_args()
    say(f"seed {given.seed}, at least {given.faults} faults")
    outcomes: list[Outcome] = []
    with (
        tempfile.TemporaryDirectory(prefix="mammostack-chaos-") as name,
        GatewayCluster(Path(name), given.seed, say).running() as cluster,
    ):
        cluster.away_s = 8.0
        while sum(len(outcome.faults) for outcome in outcomes) < given.faults:
            outcomes.append(_round(cluster, len(outcomes)))
            for line in outcomes[-1].wrong:
                say(f"WRONG: {line}")
    summary = _summary(given.seed, outcomes)
    print(f"\n{summary}")
    if given.record:
        record(f"make chaos GATEWAY=1 FAULTS={given.faults}", summary)
    return 1 if any(outcome.wrong for outcome in outcomes) else 0


def _round(cluster: GatewayCluster, number: int) -> Outcome:
    cluster.deliver_twice(on=cluster.chance.random() < 0.25)
    first = number * _EXAMS_IN_A_ROUND + 1
    exams = [
        Exam(first + place, MANNERS[place % len(MANNERS)], pushed=place % 2 == 1) for place in range(_EXAMS_IN_A_ROUND)
    ]
    faults = cluster.chance.choices(FAULTS, k=cluster.chance.randint(3, _MOST_IN_A_ROUND))
    outcome = play(cluster, exams, [getattr(cluster, fault) for fault in faults])
    verdict = "WRONG" if outcome.wrong else "all there"
    say(f"-- {len(outcome.faults)} faults, {outcome.seconds:.0f} s, {outcome.retries} retries: {verdict}")
    return outcome


def _summary(seed: int, outcomes: list[Outcome]) -> str:
    struck = Counter(fault for outcome in outcomes for fault in outcome.faults)
    exams = len(outcomes) * _EXAMS_IN_A_ROUND
    lines = [f"seed {seed}: {exams} exams in {len(outcomes)} rounds, {struck.total()} faults"]
    lines += [f"  {fault.replace('_', ' '):<18}{count:>4}" for fault, count in sorted(struck.items())]
    lines += [
        f"  reports, with those of incomplete exams: {sum(outcome.reports for outcome in outcomes)}",
        f"  exams that `mammo gateway retry` took up: {sum(outcome.retries for outcome in outcomes)}",
        f"  rounds with anything wrong:              {sum(bool(outcome.wrong) for outcome in outcomes)}",
        f"  took {sum(outcome.seconds for outcome in outcomes) / 60:.0f} min",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
