"""Train the network that a line names, in the number format behind it if any, and print the images a second."""

import os
import sys

import torch

from tests.bench.training import BATCH, BATCHES, examples, ours

torch.set_num_threads(os.cpu_count() or 1)
for line in sys.stdin:
    network, *number_format = line.split()
    print(ours(network, examples(BATCH * BATCHES[network]), *number_format), flush=True)
