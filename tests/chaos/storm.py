"""`make chaos`: round after round of the real pipeline with random faults, until there were enough of them.

Prints every fault as it happens and a summary at the end; ends with 1 when anything was lost. The same seed draws the
same faults; where they strike depends on the machine too.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import services  # noqa: F401  sets what OpenMP must know before torch is imported
from shared.datasets.synthetic import write_dataset
from tests.chaos.cluster import Cluster
from tests.chaos.rounds import Films, Outcome, play, read_films, undisturbed_run

FAULTS = (
    *("kill_child", "kill_worker", "kill_all_workers", "drain_worker", "pause_worker"),
    *("kill_broker", "wipe_broker", "stop_store", "fill_disk", "disturb_store", "jump_clock"),
)
_MOST_IN_A_ROUND = 6


def main() -> int:
    """Plays rounds until `--faults` faults have struck runs that had not ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = parser.parse_args()
    say(f"seed {given.seed}, at least {given.faults} faults")
    with tempfile.TemporaryDirectory(prefix="mammostack-chaos-") as name:
        folder = Path(name)
        write_dataset(folder / "films", 8, seed=7)
        films = read_films(folder / "films")
        with Cluster(folder, given.seed, say).running() as cluster:
            undisturbed = undisturbed_run(cluster, films)
            say(f"an undisturbed run leaves {len(undisturbed)} objects")
            outcomes: list[Outcome] = []
            while sum(len(outcome.faults) for outcome in outcomes) < given.faults:
                outcomes.append(_round(cluster, films, undisturbed))
                for line in outcomes[-1].wrong:
                    say(f"WRONG: {line}")
    _summary(given.seed, outcomes, len(undisturbed))
    return 1 if any(outcome.wrong for outcome in outcomes) else 0


def _round(cluster: Cluster, films: Films, undisturbed: dict[str, str]) -> Outcome:
    cluster.deliver_twice(on=cluster.chance.random() < 0.25)
    names = cluster.chance.choices(FAULTS, k=cluster.chance.randint(2, _MOST_IN_A_ROUND))
    twice = ["deliver_twice"] if cluster.twice else []
    outcome = play(cluster, films, [getattr(cluster, name) for name in names], undisturbed)
    outcome.faults += twice
    verdict = "WRONG" if outcome.wrong else "all there"
    say(f"-- {len(outcome.faults)} faults, {outcome.seconds:.0f} s, {outcome.resumes} resumes: {verdict}")
    return outcome


def _summary(seed: int, outcomes: list[Outcome], objects: int) -> None:
    struck = Counter(fault for outcome in outcomes for fault in outcome.faults)
    print(f"\nseed {seed}: {len(outcomes)} runs of {objects} objects each, {struck.total()} faults")
    for fault, count in sorted(struck.items()):
        print(f"  {fault.replace('_', ' '):<18}{count:>4}")
    print(f"  runs that ended by themselves: {sum(not o.resumes and not o.retries for o in outcomes)}")
    print(f"  `mammo resume` was needed:     {sum(o.resumes for o in outcomes)} times")
    print(f"  `mammo retry` was needed:      {sum(o.retries for o in outcomes)} times")
    print(f"  runs with anything wrong:      {sum(bool(o.wrong) for o in outcomes)}")
    print(f"  took {sum(o.seconds for o in outcomes) / 60:.0f} min")


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
