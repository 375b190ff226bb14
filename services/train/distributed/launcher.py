"""`fit` in several processes: torchrun starts them, and they exchange files with the worker.

Only the worker writes to the store, so that its claim fences all writes. If a process dies, the others are ended; the
queue then retries the job, which resumes from its last checkpoint.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.train.data.examples import Examples
from services.train.distributed.exchange import ExchangeFolder, TrainingRequest
from services.train.fitting.fit import FitContext, FitResult
from shared.allocator import TRAINING_VARIABLES
from shared.errors import MammoError
from shared.modelling.network_table import Network
from shared.modelling.networks import MammogramNetwork
from shared.modelling.recipes import TrainingRecipe
from shared.process_identity import ProcessIdentity

_ROOT = Path(__file__).parents[3]
_POLL_S = 0.2
_TERMINATION_TIMEOUT_S = 60


FitFunction = Callable[[MammogramNetwork, TrainingRecipe, Examples, Examples, FitContext], FitResult]
"""`fit` or `MultiprocessTrainer.fit`."""


class TrainingProcessLost(MammoError):
    """One of several processes that trained a network died."""

    code = "training-process-lost"
    retryable = True


@dataclass(frozen=True)
class MultiprocessTrainer:
    """Trains `network` in several processes; the other fields are the set-up of each."""

    processes: int
    network: Network
    threads: int
    deterministic: bool
    compiled: bool

    def fit(
        self,
        network: MammogramNetwork,
        recipe: TrainingRecipe,
        train: Examples,
        validation: Examples,
        context: FitContext,
    ) -> FitResult:
        """Run `fit` in each process; the trained network is moved to the context's device.

        Raises:
            TrainingDiverged, JobInterrupted: as `fit`.
            TrainingProcessLost: one of the processes died.
        """
        request = TrainingRequest(
            network=self.network,
            recipe=recipe,
            pretrained=context.pretrained,
            seed=context.seed,
            owner=ProcessIdentity.current(),
            threads=self.threads,
            deterministic=self.deterministic,
            compiled=self.compiled,
        )
        with tempfile.TemporaryDirectory(prefix="mammostack-ranks-", ignore_cleanup_errors=True) as folder:
            exchange = ExchangeFolder(Path(folder))
            exchange.put_request(request, network.state_dict(), train, validation)
            if context.start:
                exchange.put_start(context.start)
            with self._torchrun(exchange) as launcher:
                while launcher.poll() is None:
                    _pass_on(exchange, context)
                    if context.stopping():
                        exchange.request_stop()
                    time.sleep(_POLL_S)
            _pass_on(exchange, context)
            exchange.raise_error()
            result = exchange.result(network.to(context.device))
        if result is None:
            raise TrainingProcessLost(
                f"one of {self.processes} processes that train {self.network} died (out of memory or a crash); see its "
                "log. The job continues from its checkpoint"
            )
        return result

    @contextmanager
    def _torchrun(self, exchange: ExchangeFolder) -> Iterator["subprocess.Popen[bytes]"]:
        """Start torchrun with the processes; they have ended when the block is left."""
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
        command += ["--nproc-per-node", str(self.processes)]
        command += ["-m", "services.train.distributed.worker", str(exchange.folder)]
        env = {**os.environ, "OMP_NUM_THREADS": str(self.threads), **TRAINING_VARIABLES}
        # a session of its own: a signal from the terminal goes to the worker only, which then requests the stop
        with subprocess.Popen(command, cwd=_ROOT, env=env, start_new_session=True) as launcher:
            try:
                yield launcher
            finally:
                launcher.terminate()
                try:
                    launcher.wait(_TERMINATION_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    launcher.kill()  # its processes end when the folder is deleted


def _pass_on(exchange: ExchangeFolder, context: FitContext) -> None:
    """Call the callbacks with new epoch records and the latest checkpoint."""
    for record in exchange.take_epochs():
        context.on_epoch(record)
    if checkpoint := exchange.take_checkpoint():
        context.on_checkpoint(checkpoint)
