"""Check pretrained weights: `python -m shared.modelling.weight_download NETWORK[=FILE]...`.

Without a file, ImageNet weights are downloaded into torch's cache. Prints a JSON object: for each network null, or the
reason for which its weights are not available. A process of its own, so that the command line needs no torch.
"""

import json
import socket
import sys
from contextlib import redirect_stdout
from pathlib import Path

from shared.errors import WeightsUnavailable
from shared.modelling.network_table import Network, as_network
from shared.modelling.networks import build
from shared.modelling.weights import download, from_file, load_into

_CONNECT_S = 10


def main(choices: list[str]) -> None:
    """Check the weights of each choice, and print the outcome."""
    socket.setdefaulttimeout(_CONNECT_S)
    outcome: dict[str, str | None] = {}
    for choice in choices:
        name, _, file = choice.partition("=")
        network = as_network(name)
        try:
            with redirect_stdout(sys.stderr):  # torch prints its progress
                _check_file(network, Path(file)) if file else download(network, progress=True)
            outcome[network] = None
        except WeightsUnavailable as error:
            outcome[network] = str(error if file else error.__cause__ or error)
    json.dump(outcome, sys.stdout)


def _check_file(network: Network, file: Path) -> None:
    """Check that at least one layer of the file fits the network.

    Raises:
        WeightsUnavailable: none fits.
    """
    load_into(build(network), network, from_file(file.read_bytes(), file.name), file.name)


if __name__ == "__main__":
    main(sys.argv[1:])
