"""Where training runs: the device, and in how many processes."""

import torch

from services.train.data.device import compile_where_it_pays, prepared
from services.train.distributed.launcher import Several, Trainer
from services.train.fitting.fit import fit
from shared.modelling.network_table import Network
from shared.modelling.networks import MammogramNetwork
from shared.modelling.recipes import TrainingRecipe
from shared.settings import ComputeSettings, TrainingSettings


def training_device(compute: ComputeSettings, training: TrainingSettings) -> torch.device:
    """A GPU where there is one; on the CPU as many threads as the settings say."""
    return prepared(compute.cores, deterministic=training.deterministic)


def trainer(
    compute: ComputeSettings,
    training: TrainingSettings,
    kind: Network,
    recipe: TrainingRecipe,
    network: MammogramNetwork,
    device: torch.device,
) -> Trainer:
    """`fit`, in this process or in several: as many as the settings say, or one for each GPU, as long as each gets
    two images of a batch."""
    processes = training.processes or (torch.cuda.device_count() if device.type == "cuda" else 1)
    processes = min(processes, recipe.batch_size // 2)
    if processes > 1:
        threads = max(1, compute.cores // processes)
        return Several(processes, kind, threads, training.deterministic, training.compile).fit
    if training.compile:
        compile_where_it_pays(network, device)
    return fit
