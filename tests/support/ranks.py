"""A short training by as many processes as torchrun starts (`torchrun -m tests.support.ranks FILE`), or by one.

The network has neither batch norm, whose statistics on a CPU are those of a rank's share, nor dropout, which each rank
draws for itself: what is left must not depend on how many processes there are. FILE.<rank> gets losses and weights.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import distributed, nn

from services.train.data.examples import Examples
from services.train.data.process_group import ProcessGroup
from services.train.fitting.fit import FitContext, fit
from shared.modelling.evaluation import EpochRecord
from shared.modelling.networks import MammogramNetwork, PlacesHead
from shared.modelling.recipes import Jitter, TrainingRecipe

# the last batch of an epoch has 5 images, which is 3 for one rank and 2 for the other; first the head learns alone
RECIPE = TrainingRecipe(
    input_size=64,
    epochs=3,
    head_epochs=1,
    batch_size=8,
    learning_rate=1e-2,
    jitter=Jitter(brightness=0.05, contrast=0.1),
    lesion_weight=0.5,
)


def examples(count: int, seed: int) -> Examples:
    """Three classes as unevenly as in a data set, with a patch as bright as the class says."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, count, p=(0.6, 0.3, 0.1))
    labels[:3] = 0, 1, 2
    inputs = rng.random((count, 1, 64, 64), np.float32) * 0.3
    for index, label in enumerate(labels):
        inputs[index, 0, 20:40, 10:34] += 0.2 + 0.25 * label
    places = np.zeros((count, 4, 4), np.int8)
    places[:, 1:3, 1] = labels[:, None]
    return Examples(inputs, labels, place_labels=places)


def network() -> MammogramNetwork:
    torch.manual_seed(0)
    trunk = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(4)
    )
    return MammogramNetwork(trunk, PlacesHead(8))


def train_a_share(file: Path, group: ProcessGroup) -> None:
    epochs: list[EpochRecord] = []
    fitted = fit(
        network(),
        RECIPE,
        examples(29, 0),
        examples(12, 1),
        FitContext(pretrained=True, seed=3, device=torch.device("cpu"), on_epoch=epochs.append),
        group=group,
    )
    told = {name: value.contiguous() for name, value in fitted.network.state_dict().items()}
    told["train"] = torch.tensor([epoch.train_loss for epoch in epochs], dtype=torch.float64)
    told["validation"] = torch.tensor([epoch.validation_loss for epoch in epochs], dtype=torch.float64)
    save_file(told, file.with_suffix(f".{group.rank}"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    train_a_share(Path(sys.argv[1]), ProcessGroup(distributed.get_rank(), distributed.get_world_size()))
    distributed.destroy_process_group()
