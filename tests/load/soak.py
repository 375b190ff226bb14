"""`make soak`: the inference service, as in production and with default settings, at three times what it can do.

Films of two formats, broken ones, images that are no mammograms, clients that hang up and clients that are slow, for
ten minutes and to the end: the service is told to stop in the middle of it. Prints what was seen and judges it: memory
is flat, every accepted request is answered, the refused ones are told when to come back, the accepted ones wait no
longer than the queue is long, the service is ready all the time, and nothing ends in an error of the server.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import linear_regression, mean, quantiles

import numpy as np

from services.inference.admission.queueing import IN_HAND
from shared.imaging.formats.decode import encode_png
from shared.local.commands import ROOT
from shared.settings import ServingSettings
from tests.bench.published import Published, publish
from tests.bench.sides import MAMMOSTACK, WORKERS, Running, headers, running
from tests.load.clients import Asked, Job

OVERLOAD = 3
_SAMPLE_S = 2.0
_LAST_S = 5.0  # of the storm, which the service ends in
_REFUSED = (429, 503)
_EXPECTED = {
    "film": (200,), "slow": (200,), "broken": (422,), "not-a-film": (422,), "unknown-format": (415,), "probe": (200,),
}  # fmt: skip


@dataclass(frozen=True)
class Memory:
    """Megabytes of all processes of the service, at seconds of the run."""

    at: list[float]
    mb: list[float]

    def growth(self) -> float:
        """Of the second half, as a part of its mean: the slope of a line through it."""
        half = len(self.at) // 2
        at, mb = self.at[half:], self.mb[half:]
        return linear_regression(at, mb).slope * (at[-1] - at[0]) / mean(mb)


@dataclass(frozen=True)
class Soaked:
    """What became of the requests, the service's memory, when it was told to stop, and its exit status."""

    asked: list[Asked]
    memory: Memory
    stopped_at: float
    status: int


@dataclass(frozen=True)
class Finding:
    what: str
    good: bool


def write_bodies(published: Published) -> dict[str, list[str]]:
    """The files that are sent, by kind."""
    png, folder = published.film("png").read_bytes(), published.folder
    noise = np.random.default_rng(1).integers(0, 255, (1024, 1024)).astype(np.uint8)
    made = {
        "broken": [png[: len(png) // 2], png[:-2000]],
        "not-a-film": [encode_png(np.zeros((1024, 1024), np.uint8)), encode_png(noise)],
        "unknown-format": [b"GIF89a" + bytes(5000), b"<html></html>"],
    }
    files = {"film": [str(published.film("png"))] * 3 + [str(published.film("pgm"))]}
    for kind, bodies in made.items():
        for number, body in enumerate(bodies):
            path = folder / f"{kind}-{number}"
            path.write_bytes(body)
            files.setdefault(kind, []).append(str(path))
    return files


def soak(service: Running, files: dict[str, list[str]], rate: float, minutes: float) -> Soaked:
    """Sends the storm, samples memory, ends the service in it."""
    seconds = minutes * 60 + _LAST_S
    job = Job(f"http://127.0.0.1:{service.port}", headers(MAMMOSTACK), files, rate, seconds, seed=1)
    memory = Memory([], [])
    command = [sys.executable, "-m", "tests.load.clients"]
    with (
        tempfile.TemporaryFile() as answers,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=answers, cwd=ROOT) as clients,
    ):
        assert clients.stdin is not None
        clients.stdin.write(json.dumps(asdict(job)).encode())
        clients.stdin.close()
        began = time.monotonic()
        while (now := time.monotonic() - began) < minutes * 60:
            memory.at.append(now)
            memory.mb.append(service.memory_mb())
            time.sleep(_SAMPLE_S)
        stopped_at, status = time.time(), service.stop()
        if clients.wait():
            raise RuntimeError("the clients did not end as they should; see above")
        answers.seek(0)
        return Soaked([Asked(**each) for each in json.load(answers)], memory, stopped_at, status)


def judge(soaked: Soaked) -> list[Finding]:
    asked, memory, stopped_at = soaked.asked, soaked.memory, soaked.stopped_at
    in_time = [each for each in asked if each.at + each.took_s < stopped_at]
    # what was sent in the last moment may still lie unread in the system's queue of connections
    at_the_end = [each for each in asked if each.at < stopped_at - 0.3 and each.at + each.took_s >= stopped_at]
    accepted = [each for each in in_time if each.kind == "film" and each.status == 200]
    refused = [each for each in asked if each.status in _REFUSED]
    probes = [each for each in in_time if each.kind == "probe"]
    wrong = [each for each in in_time if not _is_right(each)]
    lost = [each for each in at_the_end if each.kind != "gone" and each.status == 0]

    waiting = ServingSettings().waiting
    work_p99 = _percentile([each.worked_s for each in accepted], 99)
    bound = (waiting + IN_HAND * WORKERS) / WORKERS * work_p99
    p50, p99 = (_percentile([each.took_s for each in accepted], percent) for percent in (50, 99))
    growth, ready = memory.growth(), max(each.took_s for each in probes)
    return [
        Finding(f"{len(wrong)} answers other than they should be: {_listed(wrong)}", not wrong),
        Finding(f"{len(refused)} refused, all with Retry-After", bool(refused) and all(map(_may_return, refused))),
        Finding(
            f"accepted films: p50 {p50:.2f} s, p99 {p99:.2f} s; bound {bound:.2f} s, which is {waiting} waiting and "
            f"{IN_HAND * WORKERS} in hand on {WORKERS} cores, times {work_p99 * 1000:.0f} ms, the p99 of a film's work",
            p99 <= bound,
        ),
        Finding(f"ready at all of {len(probes)} probes, the slowest took {ready:.2f} s", ready < 2),
        Finding(
            f"memory {memory.mb[0]:.0f} MB at first, {max(memory.mb):.0f} at most, {memory.mb[-1]:.0f} at last; "
            f"{growth:+.1%} in the second half",
            growth < 0.03,
        ),
        Finding(f"stopped under load: {len(at_the_end)} were in hand, {len(lost)} got no answer", not lost),
        Finding(f"the service ended with status {soaked.status}", soaked.status == 0),
    ]


def _is_right(each: Asked) -> bool:
    """Whether an answer that came before the end is one that such a request may get."""
    return (
        each.kind == "gone" or each.status in _EXPECTED[each.kind] or (each.status in _REFUSED and each.kind != "probe")
    )


def _may_return(each: Asked) -> bool:
    return (each.retry_after or "").isdecimal() and int(each.retry_after or 0) >= 1


def _listed(asked: list[Asked]) -> str:
    counts = Counter((each.kind, each.status) for each in asked)
    return (
        ", ".join(f"{kind} {status or 'nothing'}: {count}" for (kind, status), count in sorted(counts.items()))
        or "none"
    )


def _percentile(values: list[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="mammostack-soak-") as folder:
        published = publish(Path(folder))
        files = write_bodies(published)
        with running(MAMMOSTACK, published, Path(folder) / "service") as service:
            capacity = service.measure(published.film("png"), 8, 5, 1).rate
            print(
                f"capacity {capacity:.1f} films/s; {OVERLOAD * capacity:.0f} requests/s for {minutes:g} min", flush=True
            )
            soaked = soak(service, files, OVERLOAD * capacity, minutes)
            log = (service.folder / "log").read_text(errors="replace")
    for kind in _EXPECTED | {"gone": ()}:
        seen = Counter(each.status for each in soaked.asked if each.kind == kind)
        print(f"  {kind:15}" + "  ".join(f"{status or 'none'}: {count}" for status, count in sorted(seen.items())))
    findings = judge(soaked)
    findings.append(Finding(f"{log.count('Traceback')} stack traces in the log", "Traceback" not in log))
    for finding in findings:
        print(f"{'good ' if finding.good else 'WRONG'}  {finding.what}")
    return 0 if all(finding.good for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
