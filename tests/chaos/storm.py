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
from tests.bench.results import record
from tests.chaos.cluster import Cluster
from tests.chaos.rounds import Films, Outcome, play, read_films, undisturbed_run
from tests.support.releases import code_of, last_release_commit

FAULTS = (
    *("kill_child", "kill_worker", "kill_all_workers", "drain_worker", "pause_worker"),
    *("kill_broker", "wipe_broker", "stop_store", "fill_disk", "disturb_store", "jump_clock"),
    *("broker_read_only", "broker_out_of_memory", "fill_broker_disk", "fill_tmp", "skew_clocks", "swap_release"),
)
_FAULTS, _MOST_IN_A_ROUND = 100, 6


def main() -> int:
    """Plays rounds until `--faults` faults have struck runs that had not ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=_FAULTS)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--record", action="store_true", help="keep the summary in benchmarks/RESULTS.md")
    given = parser.parse_args()
    say(f"seed {given.seed}, at least {given.faults} faults")
    with tempfile.TemporaryDirectory(prefix="mammostack-chaos-") as name:
        folder = Path(name)
        write_dataset(folder / "films", 8, seed=7)
        films = read_films(folder / "films")
        last_release = code_of(last_release_commit(), folder / "last-release")
        with Cluster(folder, given.seed, say, last_release=last_release).running() as cluster:
            undisturbed = undisturbed_run(cluster, films)
            say(f"an undisturbed run leaves {len(undisturbed)} objects")
            outcomes: list[Outcome] = []
            while sum(len(outcome.faults) for outcome in outcomes) < given.faults:
                outcomes.append(_round(cluster, films, undisturbed))
                for line in outcomes[-1].wrong:
                    say(f"WRONG: {line}")
    summary = _summary(given.seed, outcomes, len(undisturbed))
    print(f"\n{summary}")
    if given.record:
        record("make chaos" if given.faults == _FAULTS else f"make chaos FAULTS={given.faults}", summary)
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


def _summary(seed: int, outcomes: list[Outcome], objects: int) -> str:
    struck = Counter(fault for outcome in outcomes for fault in outcome.faults)
    by_themselves = sum(not outcome.resumes and not outcome.retries for outcome in outcomes)
    lines = [f"seed {seed}: {len(outcomes)} runs of {objects} objects each, {struck.total()} faults"]
    lines += [f"  {fault.replace('_', ' '):<22}{count:>4}" for fault, count in sorted(struck.items())]
    lines += [
        f"  runs that ended by themselves: {by_themselves}",
        f"  `mammo resume` was needed:     {sum(outcome.resumes for outcome in outcomes)} times",
        f"  `mammo retry` was needed:      {sum(outcome.retries for outcome in outcomes)} times",
        f"  runs with anything wrong:      {sum(bool(outcome.wrong) for outcome in outcomes)}",
        f"  took {sum(outcome.seconds for outcome in outcomes) / 60:.0f} min",
    ]
    return "\n".join(lines)


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
