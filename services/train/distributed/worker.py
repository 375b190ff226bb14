"""One of several processes that train a network together, started by torchrun.

The command is `python -m services.train.distributed.worker FOLDER`, where FOLDER is an `ExchangeFolder`. Rank 0 reports
the progress; all processes end if the worker that started them requests it, or is dead.
"""

import os
import shutil
import sys
from pathlib import Path

import torch
from torch import distributed, nn

from services.train.data.device import compile_on_gpu, prepare_device
from services.train.data.process_group import ProcessGroup
from services.train.distributed.exchange import ExchangeFolder, TrainingRequest
from services.train.fitting.fit import FitContext, fit
from services.train.fitting.unfreezing import trainable_part
from shared.errors import JobInterrupted, MammoError
from shared.modelling.networks import build


def main(exchange: ExchangeFolder) -> None:
    """Train as the request says; exit with status 1 on failure, so that torchrun ends the other processes."""
    request = exchange.request()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    device = prepare_device(request.threads, deterministic=request.deterministic)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    group = ProcessGroup(distributed.get_rank(), distributed.get_world_size())
    first = group.rank == 0
    built = build(request.network, request.recipe.last_stage, request.recipe.strided)
    network = trainable_part(built, request.recipe, pretrained=request.pretrained)
    network.load_state_dict(exchange.weights())
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
    if request.compiled:
        compile_on_gpu(network, device)
    context = FitContext(
        pretrained=request.pretrained,
        seed=request.seed,
        device=device,
        on_epoch=exchange.put_epoch if first else lambda _: None,
        start=exchange.start(),
        on_checkpoint=exchange.put_checkpoint if first else lambda _: None,
        stopping=lambda: first and exchange.should_stop(request.owner),
    )
    train, validation = exchange.examples("train"), exchange.examples("validation")
    try:
        result = fit(network, request.recipe, train, validation, context, group)
        if first:
            exchange.put_result(result)
    except JobInterrupted as error:
        # not a failure: on status 1 torchrun would end rank 0 while it still writes the checkpoint
        _report(exchange, request, error)
    except MammoError as error:
        _report(exchange, request, error)
        raise SystemExit(1) from error
    distributed.destroy_process_group()


def _report(exchange: ExchangeFolder, request: TrainingRequest, error: MammoError) -> None:
    if request.owner.process:
        exchange.put_error(error)
    else:
        shutil.rmtree(exchange.folder, ignore_errors=True)


if __name__ == "__main__":
    main(ExchangeFolder(Path(sys.argv[1])))
