"""Two releases over one store and one broker: the upgrade, and the way back, of docs/how-to/backup-and-upgrade.md.

Release 0.1.0 refuses fields that it does not know, so that it can be left and not be joined; from then on releases
work side by side.
"""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.api.batches import BatchRequest
from shared.batches import flow
from shared.batches.plan import make_batch, read_batch
from shared.modelling.profiles import profile
from shared.queue.broker import Broker
from shared.runs import pipeline
from shared.runs.plan import Plan, RunOptions, make_plan
from shared.runs.status import read_status
from shared.store import models
from shared.store.api_keys import add_key, describe_key, new_key, read_keys
from shared.store.directory import DirectoryStore
from shared.store.ingest import read_dataset
from shared.store.interface import ObjectStore
from tests.chaos.rounds import read_films, store_films
from tests.support.brokers import broker_at
from tests.support.releases import FIRST_RELEASE, Release, last_release_commit, other_release, this_release
from tests.support.servers import running_broker, wait_until

NETWORK, SEED = "modified_cnn", 7
_ONE_FILM = """
from shared.api.batches import BatchRequest
from shared.batches import flow
from shared.batches.plan import make_batch
from shared.cli.runs import _queue, _store

store, queue = _store(), _queue()
request = BatchRequest(keys=({film!r},))
batch = make_batch(store, "{batch}", request, "raw/", owner="old", network="{network}", version="{version}")
flow.begin(store, queue, batch)
"""


@dataclass
class Installation:
    """A store and a broker, two releases that share them, and where the logs of their workers are."""

    store: ObjectStore
    queue: Broker
    old: Release
    new: Release
    folder: Path

    def log(self, release: Release) -> Path:
        return self.folder / f"{release.name}.log"

    def units(self, release: Release, outcome: str = "done") -> int:
        """How many units the workers of a release have ended so."""
        log = self.log(release)
        return log.read_text(errors="replace").count(f'"unit {outcome}"') if log.exists() else 0

    def working(self, *releases: Release) -> ExitStack:
        """Run a worker of each service of these releases."""
        stack = ExitStack()
        for release in releases:
            for service in ("augment", "segment", "train"):
                stack.enter_context(release.worker(service, self.log(release)))
        return stack

    def start_old_run(self) -> str:
        """Let the old release start a run, and return its name."""
        options = ("--dataset", "films", "--profile", "test", "--network", NETWORK, "--protocol", "patient")
        printed = self.old.mammo("run", *options, "--seed", str(SEED))
        found = re.search(r"run (\S+) over", printed)
        assert found, printed
        return found[1]

    def wait_for(self, *runs: str) -> None:
        """Wait until runs are finished without a failure."""
        for run in runs:
            wait_until(lambda run=run: read_status(self.store, run).state != "running", 90)  # type: ignore[misc]
            status = read_status(self.store, run)
            assert (status.state, status.failures) == ("finished", ())

    def lose_messages(self) -> None:
        self.queue.client.flushall()

    def predict_one(self, release: Release, batch: str, answering: Release) -> dict[str, float]:
        """Let a release make a batch of one film, another one answer it, and return the probabilities."""
        film = next(key for key in self.store.list("raw/films/") if key.endswith(".pgm"))
        version = models.read_alias(self.store, NETWORK).version
        if release is self.new:
            request = BatchRequest(keys=(film,))
            plan = make_batch(self.store, batch, request, "raw/", owner="new", network=NETWORK, version=version)
            flow.begin(self.store, self.queue, plan)
        else:
            release.python(_ONE_FILM.format(film=film, batch=batch, network=NETWORK, version=version))
        with answering.worker("inference", self.log(answering)):
            wait_until(lambda: flow.has_ended(self.store, read_batch(self.store, batch)), 60)
        (line,) = flow.read_results(self.store, read_batch(self.store, batch))
        return json.loads(line)["finding"]["probabilities"]


@pytest.fixture
def installation(tmp_path: Path, synthetic_films: Path, request: pytest.FixtureRequest) -> Iterator[Installation]:
    """Films in shards of two, and nothing else yet."""
    with running_broker() as url:
        variables = {"MAMMO_STORE": str(tmp_path / "store"), "MAMMO_REDIS_URL": url, "MAMMO_CPU_THREADS": "1"}
        old = other_release(request.param, tmp_path / "old", variables)
        store = DirectoryStore(tmp_path / "store")
        store_films(store, read_films(synthetic_films))
        yield Installation(store, broker_at(url), old, this_release(variables), tmp_path)


def planned(store: ObjectStore) -> Plan:
    """Plan a run of the smallest network over the films."""
    options = RunOptions(networks=(NETWORK,), protocols=("patient",), weights={}, promote=(), seed=SEED)
    return make_plan(read_dataset(store, "films"), profile("test"), options)


class TestReleases:
    @pytest.mark.parametrize("installation", [last_release_commit()], indirect=True)
    def test_two_releases_share_a_queue_resume_each_others_runs_and_read_each_others_records(
        self,
        installation: Installation,
    ) -> None:
        store, queue, old, new = installation.store, installation.queue, installation.old, installation.new
        ours, theirs = planned(store), installation.start_old_run()
        pipeline.start(store, queue, ours)
        queue.client.flushall()
        old.mammo("resume", ours.run)
        pipeline.resume(store, queue, theirs)
        with installation.working(old, new):
            installation.wait_for(ours.run, theirs)
        assert installation.units(old) > 0
        assert installation.units(new) > 0

        models.promote(store, NETWORK, theirs, models.MoveReason(by="new", why="first"))
        old.mammo("models", "promote", NETWORK, ours.run, "--force", "--reason", "second")
        assert [move.version for move in models.history(store, NETWORK) if move.alias == "production"] == [
            theirs,
            ours.run,
        ]

        add_key(store, describe_key(new_key(), "new", ["predict"]))
        old.mammo("keys", "create", "old", "--scope", "predict")
        assert [key.name for key in read_keys(store).keys] == ["new", "old"]

        assert installation.predict_one(new, "a" * 32, answering=old) == installation.predict_one(
            old, "b" * 32, answering=new
        )

    @pytest.mark.parametrize("installation", [FIRST_RELEASE], indirect=True)
    def test_what_0_1_0_left_goes_on_and_the_way_back_keeps_models_keys_and_batches(
        self, installation: Installation
    ) -> None:
        store, queue, old, new = installation.store, installation.queue, installation.old, installation.new
        finished, begun = installation.start_old_run(), installation.start_old_run()
        queue.client.flushall()
        old.mammo("resume", finished)
        with installation.working(old):
            installation.wait_for(finished)
        old.mammo("models", "promote", NETWORK, finished, "--reason", "first")
        old.mammo("keys", "create", "old", "--scope", "predict")

        pipeline.resume(store, queue, begun)
        with installation.working(new):
            installation.wait_for(begun)
        predicted = installation.predict_one(old, "a" * 32, answering=new)
        models.promote(store, NETWORK, begun, models.MoveReason(by="new", why="second"), force=True)
        add_key(store, describe_key(new_key(), "new", ["predict"]))
        assert [key.name for key in read_keys(store).keys] == ["old", "new"]
        ours = planned(store)
        pipeline.start(store, queue, ours)
        queue.client.flushall()

        old.mammo("models", "promote", NETWORK, finished, "--force", "--reason", "back")
        assert models.read_alias(store, NETWORK).version == finished
        assert "new" in old.mammo("keys", "list")
        assert installation.predict_one(new, "b" * 32, answering=old) == predicted
        for unreadable in (("status", ours.run), ("models", "card", NETWORK, begun)):
            old.mammo(*unreadable, status=1)
