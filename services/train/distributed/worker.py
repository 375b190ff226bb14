"""One of several processes that train a network together, started by torchrun.

Its command is `python -m services.train.distributed.worker FOLDER`. The folder is a `Mailbox`. Rank 0 tells how it
goes; all of them end when the worker that ordered it asks, or is gone.
"""

import os
import shutil
import sys
from pathlib import Path

import torch
from torch import distributed, nn

from services.train.data.device import compile_where_it_pays, prepared
from services.train.data.process_group import Ranks
from services.train.distributed.exchange import Mailbox, Order
from services.train.fitting.fit import FitContext, fit
from services.train.fitting.unfreezing import learning_part
from shared.errors import JobInterrupted, MammoError
from shared.modelling.networks import build


def main(mailbox: Mailbox) -> None:
    """Ends with status 1 when training fails, so that torchrun ends the other ranks as well."""
    order = mailbox.order()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    device = prepared(order.threads, deterministic=order.deterministic)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    ranks = Ranks(distributed.get_rank(), distributed.get_world_size())
    first = ranks.rank == 0
    built = build(order.network, order.recipe.last_stage, order.recipe.strided)
    network = learning_part(built, order.recipe, pretrained=order.pretrained)
    network.load_state_dict(mailbox.weights())
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
    if order.compiled:
        compile_where_it_pays(network, device)
    try:
        fitted = fit(
            network,
            order.recipe,
            mailbox.examples("train"),
            mailbox.examples("validation"),
            FitContext(
                pretrained=order.pretrained,
                seed=order.seed,
                device=device,
                on_epoch=mailbox.tell_epoch if first else lambda _: None,
                start=mailbox.start(),
                on_checkpoint=mailbox.hand_over if first else lambda _: None,
                stopping=lambda: first and mailbox.is_to_stop(order.owner),
            ),
            ranks=ranks,
        )
        if first:
            mailbox.deliver(fitted)
    except JobInterrupted as error:
        # no failure: torchrun would end the first one while it is still writing the checkpoint
        _tell(mailbox, order, error)
    except MammoError as error:
        _tell(mailbox, order, error)
        raise SystemExit(1) from error
    distributed.destroy_process_group()


def _tell(mailbox: Mailbox, order: Order, error: MammoError) -> None:
    if order.owner.lives:
        mailbox.tell_problem(error)
    else:
        shutil.rmtree(mailbox.folder, ignore_errors=True)


if __name__ == "__main__":
    main(Mailbox(Path(sys.argv[1])))
