"""The network of a job with the initial weights that the plan names."""

import torch

from shared.modelling.evaluation import WeightsReport
from shared.modelling.network_table import Network
from shared.modelling.networks import MammogramNetwork, build
from shared.modelling.weights import download, from_file, load_into
from shared.runs.plan import SCRATCH, TORCHVISION, Plan
from shared.store.interface import ObjectStore


def initial_network(store: ObjectStore, plan: Plan, kind: Network, seed: int) -> tuple[MammogramNetwork, WeightsReport]:
    """Create the network; layers without pretrained weights are random, from `seed`.

    Raises:
        WeightsUnavailable: the weights can't be downloaded, or don't fit.
    """
    torch.manual_seed(seed)
    recipe, choice = plan.training[kind], plan.weights[kind]
    network = build(kind, recipe.last_stage, recipe.strided)
    if choice == SCRATCH:
        layers = {name.rpartition(".")[0] for name, _ in network.named_parameters()}
        return network, WeightsReport(source="from scratch", loaded=(), missing=tuple(sorted(layers)), unexpected=())
    if choice == TORCHVISION:
        tensors, source = download(kind)
    else:
        name = choice.rpartition("/")[2]
        tensors, source = from_file(store.get(choice), name), f"file {name}"
    return network, load_into(network, kind, tensors, source)
