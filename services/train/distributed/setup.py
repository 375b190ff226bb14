"""The device and the number of processes of training, by the settings."""

import torch

from services.train.data.device import compile_on_gpu, prepare_device
from services.train.distributed.launcher import FitFunction, MultiprocessTrainer
from services.train.fitting.fit import fit
from shared.modelling.network_table import Network
from shared.modelling.networks import MammogramNetwork
from shared.modelling.recipes import TrainingRecipe
from shared.settings import TrainingSettings, settings


def training_device() -> torch.device:
    """Return a GPU if there is one, otherwise the CPU with as many threads as the settings allow."""
    return prepare_device(
        settings(TrainingSettings).cores, deterministic=settings(TrainingSettings).train_deterministic
    )


def fit_function(kind: Network, recipe: TrainingRecipe, network: MammogramNetwork, device: torch.device) -> FitFunction:
    """Return `fit` for this process or for several.

    The number of processes is that of the settings, or one for each GPU, as long as each gets two images of a batch.
    """
    config = settings(TrainingSettings)
    processes = config.train_processes or (torch.cuda.device_count() if device.type == "cuda" else 1)
    processes = min(processes, recipe.batch_size // 2)
    if processes > 1:
        threads = max(1, config.cores // processes)
        return MultiprocessTrainer(processes, kind, threads, config.train_deterministic, config.train_compile).fit
    if config.train_compile:
        compile_on_gpu(network, device)
    return fit
