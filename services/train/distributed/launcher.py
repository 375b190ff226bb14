"""`fit` by several processes: torchrun starts them, a folder lies between them and the worker.

The worker alone talks to the store, so that its claim fences all that is written. A process that dies ends the others;
the queue then tries the job again, and it goes on from its last checkpoint.
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
from services.train.distributed.exchange import Mailbox, Order, Owner
from services.train.fitting.fit import FitContext, Fitted
from shared.allocator import TRAINING_VARIABLES
from shared.errors import MammoError
from shared.modelling.network_table import Network
from shared.modelling.networks import MammogramNetwork
from shared.modelling.recipes import TrainingRecipe

_ROOT = Path(__file__).parents[3]
_LOOK_EVERY_S = 0.2
_TIME_TO_END_S = 60


Trainer = Callable[[MammogramNetwork, TrainingRecipe, Examples, Examples, FitContext], Fitted]
"""`fit`, or `Several.fit`, which takes the same."""


class TrainingProcessLost(MammoError):
    """One of several processes that trained a network died."""

    code = "training-process-lost"
    retryable = True


@dataclass(frozen=True)
class Several:
    """How many processes train `network` together, and how each is set up."""

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
    ) -> Fitted:
        """Train like `fit`, which runs in each of the processes; the network ends on the context's device.

        Raises:
            TrainingDiverged, JobInterrupted: as `fit`.
            TrainingProcessLost: one of the processes died.
        """
        order = Order(
            network=self.network,
            recipe=recipe,
            pretrained=context.pretrained,
            seed=context.seed,
            owner=Owner.this(),
            threads=self.threads,
            deterministic=self.deterministic,
            compiled=self.compiled,
        )
        with tempfile.TemporaryDirectory(prefix="mammostack-ranks-", ignore_cleanup_errors=True) as folder:
            mailbox = Mailbox(Path(folder))
            mailbox.send(order, network.state_dict(), train, validation)
            if context.start:
                mailbox.send_start(context.start)

            def pass_on() -> None:
                for record in mailbox.epochs():
                    context.on_epoch(record)
                if checkpoint := mailbox.checkpoint():
                    context.on_checkpoint(checkpoint)

            with self._launched(mailbox) as launcher:
                while launcher.poll() is None:
                    pass_on()
                    if context.stopping():
                        mailbox.ask_to_stop()
                    time.sleep(_LOOK_EVERY_S)
            pass_on()
            mailbox.raise_problem()
            fitted = mailbox.fitted(network.to(context.device))
        if fitted is None:
            raise TrainingProcessLost(
                f"one of {self.processes} processes that train {self.network} died (out of memory or a crash); see its "
                "log. The job continues from its checkpoint"
            )
        return fitted

    @contextmanager
    def _launched(self, mailbox: Mailbox) -> Iterator["subprocess.Popen[bytes]"]:
        """torchrun with the processes; whatever happens, they have ended afterwards."""
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
        command += [
            "--nproc-per-node",
            str(self.processes),
            "-m",
            "services.train.distributed.worker",
            str(mailbox.folder),
        ]
        env = {**os.environ, "OMP_NUM_THREADS": str(self.threads), **TRAINING_VARIABLES}
        # a session of its own: a signal from the terminal is for the worker, which asks its processes to stop
        with subprocess.Popen(command, cwd=_ROOT, env=env, start_new_session=True) as launcher:
            try:
                yield launcher
            finally:
                launcher.terminate()
                try:
                    launcher.wait(_TIME_TO_END_S)
                except subprocess.TimeoutExpired:
                    launcher.kill()  # its processes see that the folder is gone
