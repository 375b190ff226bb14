"""The objects of a run, reduced to what an undisturbed run of the same seed must equal."""

import hashlib
import json
import re
import time
from typing import Any

from shared.queue.messages import STAGES
from shared.runs.plan import Plan
from shared.runs.status import read_status
from shared.store import layout
from shared.store.interface import ObjectStore
from tests.chaos.cluster import Cluster

_TIMES = {"seconds", "images_per_second", "seconds_per_epoch", "created", "when", "since", "code_version"}
_OF_THE_RUN = {"run", "version", "owner", "token", "deaths", "released", "by", "previous", "unit"}
_CONTENT = re.compile(r"/[0-9a-f]{64}/")
_PICTURES_OF_TIMES = ("/report/", "report.html", "card.json", "metrics.json", "digests.json")


def inventory(store: ObjectStore, plan: Plan) -> dict[str, str]:
    """Every object: its key without the run's name, and the digest of its content without names and times.

    What is deterministic is compared byte for byte: images, manifests, weights, graphs, golden answers, predictions.
    Of the report, which shows how long things took, that it is there. A claim tells how its owners fared: one that is
    killed after its last write and before it has left releases nothing, and the job, being done, has no other. The
    markers of stages are left out: they say which worker enqueued the next stage, and after the broker has lost
    everything it is `resume` that does. What a worker killed in its self-test has left is no part of a run.
    """
    found = {}
    markers = {layout.stage_marker(plan.run, stage) for stage in STAGES}
    for key in store.list(""):
        if key in markers or key.startswith(layout.self_test("")):
            continue
        name = key.replace(plan.run, "RUN")
        if "/audit/" in name:
            name = name[: name.index("/audit/")] + "/audit/LINE.json"
        if name.startswith("models/") and _CONTENT.search(name):  # of all files, a report with times among them
            name = _CONTENT.sub("/CONTENT/", name)
            name = f"{name} again" if name in found else name
        found[name] = _digest(name, store.get(key).replace(plan.run.encode(), b"RUN"))
    return found


def _digest(name: str, data: bytes) -> str:
    if any(part in name for part in _PICTURES_OF_TIMES):
        return "there"
    if name.endswith(".json") and not name.startswith(("raw/", "data_")) and not name.endswith("golden.json"):
        data = json.dumps(_without(json.loads(data)), sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()


def _without(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without(value) for key, value in content.items() if key not in _TIMES | _OF_THE_RUN}
    return [_without(value) for value in content] if isinstance(content, list) else content


def of_every_release(found: dict[str, str]) -> dict[str, str]:
    """Reduce an inventory to what two releases have in common: images byte for byte, and that the rest is there.

    Which files a model has, and of which bytes, is for a release to say.
    """
    kept = {key: digest for key, digest in found.items() if not key.startswith("models/")}
    return {key: digest if key.startswith(("raw/", "data_")) else "there" for key, digest in kept.items()}


def differences(undisturbed: dict[str, str], disturbed: dict[str, str]) -> list[str]:
    """What is missing, left over or different; empty when nothing was lost."""
    lines = [f"missing: {key}" for key in sorted(undisturbed.keys() - disturbed.keys())]
    lines += [f"left over: {key}" for key in sorted(disturbed.keys() - undisturbed.keys())]
    both = sorted(undisturbed.keys() & disturbed.keys())
    return lines + [f"different: {key}" for key in both if undisturbed[key] != disturbed[key]]


def remains(cluster: Cluster, store: ObjectStore, plan: Plan, within_s: float = 45) -> list[str]:
    """What should be gone soon after a run has ended, leases and waiting messages, and what is wrong in the store."""
    until = time.monotonic() + within_s
    while True:
        leases = [key.decode() for key in cluster.redis.scan_iter("mammostack:lease:*")]
        depth = cluster.queue().depth()
        if (not leases and not any(depth.waiting.values())) or time.monotonic() > until:
            break
        time.sleep(0.5)
    wrong = [f"a lease is held: {name}" for name in leases]
    wrong += [f"{count} messages wait in {name}" for name, count in depth.waiting.items() if count]
    wrong += [f"set aside or given up: {failure}" for failure in read_status(store, plan.run).failures]
    for network in plan.networks:
        cards = [key for key in store.list(layout.models(network)) if key.endswith("/card.json")]
        if len(cards) != ("patient" in plan.protocols):
            wrong.append(f"{len(cards)} versions of {network}")
    return wrong
