"""The device and the number of processes of training, by the settings."""

import torch

from services.train.data.device import compile_on_gpu, prepare_device
from services.train.distributed.launcher import FitFunction, MultiprocessTrainer
from services.train.fitting.fit import fit
from shared.modelling.network_table import Network
from shared.modelling.networks import MammogramNetwork
from shared.modelling.recipes import TrainingRecipe
from shared.settings import ComputeSettings, TrainingSettings


def training_device(compute: ComputeSettings, training: TrainingSettings) -> torch.device:
    """Return a GPU if there is one, otherwise the CPU with as many threads as the settings allow."""
    return prepare_device(compute.cores, deterministic=training.deterministic)


def fit_function(
    compute: ComputeSettings,
    training: TrainingSettings,
    kind: Network,
    recipe: TrainingRecipe,
    network: MammogramNetwork,
    device: torch.device,
) -> FitFunction:
    """Return `fit` for this process or for several.

    The number of processes is that of the settings, or one for each GPU, as long as each gets two images of a batch.
    """
    processes = training.processes or (torch.cuda.device_count() if device.type == "cuda" else 1)
    processes = min(processes, recipe.batch_size // 2)
    if processes > 1:
        threads = max(1, compute.cores // processes)
        return MultiprocessTrainer(processes, kind, threads, training.deterministic, training.compile).fit
    if training.compile:
        compile_on_gpu(network, device)
    return fit
