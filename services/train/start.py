"""Where training starts: the network with the weights that the plan names, and the device."""

import os

import torch

from services.train.device import prepared
from shared.modelling.evaluation import WeightsReport
from shared.modelling.networks import MammogramNetwork, build
from shared.modelling.recipes import Network
from shared.modelling.weights import download, from_file, load_into
from shared.queue.plan import SCRATCH, TORCHVISION, Plan
from shared.settings import settings
from shared.store.objects import ObjectStore


def starting_network(
    store: ObjectStore, plan: Plan, kind: Network, seed: int
) -> tuple[MammogramNetwork, WeightsReport]:
    """The network, its random weights drawn from `seed`, and what was loaded into it. Raises WeightsUnavailable."""
    torch.manual_seed(seed)
    network, choice = build(kind), plan.weights[kind]
    if choice == SCRATCH:
        layers = {name.rpartition(".")[0] for name, _ in network.named_parameters()}
        return network, WeightsReport(source="from scratch", loaded=(), missing=tuple(sorted(layers)), unexpected=())
    if choice == TORCHVISION:
        tensors, source = download(kind)
    else:
        name = choice.rpartition("/")[2]
        tensors, source = from_file(store.get(choice), name), f"file {name}"
    return network, load_into(network, kind, tensors, source)


def training_device() -> torch.device:
    """A GPU where there is one; on the CPU as many threads as the settings say."""
    return prepared(settings().cpu_threads or os.cpu_count() or 1, deterministic=settings().train_deterministic)
