"""Where training starts: the network with the weights that the plan names, the device, and how many processes."""

import torch

from services.train.core import fit
from services.train.device import compile_where_it_pays, prepared
from services.train.several import Several, Trainer
from shared.modelling.evaluation import WeightsReport
from shared.modelling.networks import MammogramNetwork, build
from shared.modelling.recipes import Network, TrainingRecipe
from shared.modelling.weights import download, from_file, load_into
from shared.runs.plan import SCRATCH, TORCHVISION, Plan
from shared.settings import settings
from shared.store.interface import ObjectStore


def starting_network(
    store: ObjectStore, plan: Plan, kind: Network, seed: int
) -> tuple[MammogramNetwork, WeightsReport]:
    """The network, its random weights drawn from `seed`, and what was loaded into it. Raises WeightsUnavailable."""
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


def training_device() -> torch.device:
    """A GPU where there is one; on the CPU as many threads as the settings say."""
    return prepared(settings().cores, deterministic=settings().train_deterministic)


def trainer(kind: Network, recipe: TrainingRecipe, network: MammogramNetwork, device: torch.device) -> Trainer:
    """`core.fit`, in this process or in several: as many as the settings say, or one for each GPU, as long as each gets
    two images of a batch."""
    config = settings()
    processes = config.train_processes or (torch.cuda.device_count() if device.type == "cuda" else 1)
    processes = min(processes, recipe.batch_size // 2)
    if processes > 1:
        threads = max(1, config.cores // processes)
        return Several(processes, kind, threads, config.train_deterministic, config.train_compile).fit
    if config.train_compile:
        compile_where_it_pays(network, device)
    return fit
