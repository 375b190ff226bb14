"""`make bench-training`: images a second of our training loop beside the bare step of torch, for each network.

With BASE=COMMIT: beside the loop of that commit instead, in turns; ours in the number format that `auto` takes on this
CPU, and in bfloat16.

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

from services.train.data.device import training_format
from services.train.data.examples import Examples
from services.train.fitting.fit import FitContext, fit
from shared.allocator import TRAINING_VARIABLES
from shared.local.commands import ROOT
from shared.modelling.network_table import NETWORKS, Network
from shared.modelling.networks import build
from shared.modelling.recipes import Precision, TrainingRecipe
from tests.bench.checkouts import Side, checked_out
from tests.bench.results import FALLS_SHORT
from tests.bench.timing import restart_with

WANTED = 0.95
WANTED_OF_BASE: dict[Network, float] = {"resnet50": 1.8, "alexnet": 1.4}
"""On a CPU with AMX."""
BATCH, SIZE = 32, 112
BATCHES = {"modified_cnn": 12, "alexnet": 16, "resnet50": 4}
"""Batches of an epoch, so that a round takes some seconds for each network."""


def examples(images: int) -> Examples:
    rng = np.random.default_rng(1)
    return Examples(rng.random((images, 1, SIZE, SIZE), np.float32), rng.integers(0, 3, images, np.int64))


def ours(network: Network, data: Examples, precision: Precision = "auto") -> float:
    """Images a second of the second epoch: in the first one torch sets itself up."""
    rates: list[float] = []
    fit(
        build(network),
        TrainingRecipe(input_size=SIZE, epochs=2, batch_size=BATCH, precision=precision),
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


def beside_torch(rounds: int) -> bool:
    """Print our rates and those of the bare step; return True if one falls short."""
    torch.set_num_threads(os.cpu_count() or 1)
    print("images/s        ours    bare   ratio")
    short = False
    for network in NETWORKS:
        data = examples(BATCH * BATCHES[network])
        seen = [(ours(network, data), bare(network, data)) for _ in range(rounds)]
        short |= _print_row(network, seen, WANTED)
    return short


def beside_base(commit: str, rounds: int) -> bool:
    """Print our rates and those of another commit; return True if one falls short."""
    print(f"`auto` is {training_format('auto', torch.device('cpu'))} on this CPU")
    print(f"images/s        ours {commit:>8}  ratio")
    short = False
    with (
        checked_out(commit) as other,
        Side(ROOT, "training_side.py") as mine,
        Side(other, "training_side.py") as base,
    ):
        for network, wanted in WANTED_OF_BASE.items():
            turns = [(mine.ask(network), base.ask(network)) for _ in range(rounds)]
            short |= _print_row(network, turns, wanted)
            _print_row("  in bfloat16", [(mine.ask(f"{network} bfloat16"), turns[-1][1])], wanted)
    return short


def _print_row(network: str, seen: list[tuple[float, float]], wanted: float) -> bool:
    """Print medians of both sides and of the ratios of neighbouring turns; return True if it is less than wanted."""
    ratio = median(our / other for our, other in seen)
    verdict = "pass" if ratio >= wanted else "FALLS SHORT"
    print(
        f"{network:14}{median(our for our, _ in seen):6.1f}  {median(other for _, other in seen):6.1f}"
        f"  {ratio:5.2f}  >= {wanted}  {verdict}",
        flush=True,
    )
    return ratio < wanted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="for each network")
    parser.add_argument("--base", help="the commit that is compared, instead of the bare step of torch")
    chosen = parser.parse_args()
    restart_with(TRAINING_VARIABLES)
    print(f"batches of {BATCH} images of {SIZE} x {SIZE}, {os.cpu_count()} threads, {chosen.rounds} rounds")
    short = beside_base(chosen.base, chosen.rounds) if chosen.base else beside_torch(chosen.rounds)
    print(f"load of the last 5 minutes: {os.getloadavg()[1]:.1f}")
    raise SystemExit(FALLS_SHORT if short else 0)


if __name__ == "__main__":
    main()
