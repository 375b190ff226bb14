"""`make bench-training`: images a second of our training loop beside the bare step of torch, for each network.

The bare step is what torch can't do without: forward, loss, backward, optimiser, on a batch that lies ready. Ours is
`fit`: it draws the batch, sets the rate, clips the gradient, looks at whether it is to stop. Both run in one process
that keeps its memory as a training worker does.
"""

import argparse
import os
import time
from statistics import median

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from services.train.data.examples import Examples
from services.train.fitting.fit import FitContext, fit
from shared.allocator import TRAINING_VARIABLES
from shared.modelling.network_table import NETWORKS, Network
from shared.modelling.networks import build
from shared.modelling.recipes import TrainingRecipe
from tests.bench.timing import restart_with

WANTED = 0.95
BATCH, SIZE = 32, 112
BATCHES = {"modified_cnn": 12, "alexnet": 16, "resnet50": 4}
"""Batches of an epoch, so that a round takes some seconds for each network."""


def examples(images: int) -> Examples:
    rng = np.random.default_rng(1)
    return Examples(rng.random((images, 1, SIZE, SIZE), np.float32), rng.integers(0, 3, images, np.int64))


def ours(network: Network, data: Examples) -> float:
    """Images a second of the second epoch: in the first one torch sets itself up."""
    rates: list[float] = []
    fit(
        build(network),
        TrainingRecipe(input_size=SIZE, epochs=2, batch_size=BATCH),
        data,
        Examples(data.inputs[:2], data.labels[:2]),
        FitContext(
            pretrained=False,
            seed=1,
            device=torch.device("cpu"),
            on_epoch=lambda record: rates.append(record.images_per_second),
        ),
    )
    return rates[-1]


def bare(network: Network, data: Examples) -> float:
    model: nn.Module = build(network).train()
    optimiser = torch.optim.AdamW(model.parameters(), fused=True)
    inputs, labels = torch.from_numpy(data.inputs[:BATCH]), torch.from_numpy(data.labels[:BATCH])

    def step() -> None:
        loss = cross_entropy(model(inputs)[0], labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    for _ in range(BATCHES[network]):
        step()
    began = time.perf_counter()
    for _ in range(BATCHES[network]):
        step()
    return BATCH * BATCHES[network] / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    restart_with(TRAINING_VARIABLES)
    torch.set_num_threads(os.cpu_count() or 1)
    print(f"batches of {BATCH} images of {SIZE} x {SIZE}, {torch.get_num_threads()} threads, {rounds} rounds")
    print("images/s        ours    bare   ratio")
    short = False
    for network in NETWORKS:
        data = examples(BATCH * BATCHES[network])
        seen = [(ours(network, data), bare(network, data)) for _ in range(rounds)]
        ratio = median(our / torchs for our, torchs in seen)
        short |= ratio < WANTED
        verdict = "pass" if ratio >= WANTED else "FALLS SHORT"
        print(
            f"{network:14}{median(our for our, _ in seen):6.1f}  {median(torchs for _, torchs in seen):6.1f}"
            f"  {ratio:5.2f}  >= {WANTED}  {verdict}",
            flush=True,
        )
    print(f"load of the last 5 minutes: {os.getloadavg()[1]:.1f}")
    raise SystemExit(short)


if __name__ == "__main__":
    main()
