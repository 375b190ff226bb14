"""The folder between a training worker and its processes: all that goes through it comes out as it was."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.train.data.examples import Examples
from services.train.distributed.exchange import ExchangeFolder, TrainingRequest
from services.train.fitting.fit import TrainingDiverged
from shared.modelling.recipes import TrainingRecipe
from shared.process_identity import ProcessIdentity
from tests.support.ranks import examples

RECIPE = TrainingRecipe(input_size=64, epochs=3, batch_size=8, learning_rate=2e-3)


def order_of(owner: ProcessIdentity) -> TrainingRequest:
    return TrainingRequest(
        network="modified_cnn", recipe=RECIPE, pretrained=False, seed=1, owner=owner, threads=1, deterministic=False,
        compiled=False,
    )  # fmt: skip


class TestExchangeFolder:
    def test_arrays_that_lie_on_the_disk_are_linked_and_others_written(self, tmp_path: Path) -> None:
        np.save(tmp_path / "pool.npy", np.random.default_rng(0).random((9, 1, 8, 8), np.float32))
        pool = np.asarray(np.load(tmp_path / "pool.npy", mmap_mode="r"))
        rows = np.array([7, 1, 3])
        (tmp_path / "box").mkdir()
        mailbox = ExchangeFolder(tmp_path / "box")
        mailbox.put_request(
            order_of(ProcessIdentity.current()), {}, Examples(pool, np.array([0, 1, 2]), rows), examples(4, 0)
        )
        assert (tmp_path / "box/train.pool.npy").samefile(tmp_path / "pool.npy")
        assert np.array_equal(mailbox.examples("train").inputs, pool[rows])
        assert np.array_equal(mailbox.examples("validation").inputs, examples(4, 0).inputs)

    @pytest.mark.external
    def test_a_process_stops_when_it_is_asked_or_nobody_waits_for_it(self, tmp_path: Path) -> None:
        mailbox, owner = ExchangeFolder(tmp_path), ProcessIdentity.current()
        assert not mailbox.should_stop(owner)
        assert mailbox.should_stop(replace(owner, started=owner.started - 60)), "its id is another process's"
        with subprocess.Popen([sys.executable, "-c", ""]) as gone:
            gone.wait()
            assert mailbox.should_stop(ProcessIdentity(pid=gone.pid, started=0))
        assert ExchangeFolder(tmp_path / "given up").should_stop(owner)
        mailbox.request_stop()
        assert mailbox.should_stop(owner)

    def test_problems_come_back_as_they_were(self, tmp_path: Path) -> None:
        mailbox = ExchangeFolder(tmp_path)
        mailbox.raise_error()
        mailbox.put_error(TrainingDiverged("the loss is not a number"))
        with pytest.raises(TrainingDiverged, match="the loss is not a number"):
            mailbox.raise_error()
