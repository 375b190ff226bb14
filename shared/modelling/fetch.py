"""`python -m shared.modelling.fetch NETWORK...`: puts ImageNet weights into torch's cache, so that training finds them.

Prints a JSON object: for each network null, or why its weights can't be had. A process of its own, so that the command
line needs no torch.
"""

import json
import socket
import sys
from contextlib import redirect_stdout

from shared.errors import WeightsUnavailable
from shared.modelling.recipes import NETWORKS
from shared.modelling.weights import download

_CONNECT_S = 10


def main(names: list[str]) -> None:
    socket.setdefaulttimeout(_CONNECT_S)
    outcome: dict[str, str | None] = {}
    for network in (network for network in NETWORKS if network in names):
        try:
            with redirect_stdout(sys.stderr):  # torch talks while it downloads
                download(network, progress=True)
            outcome[network] = None
        except WeightsUnavailable as error:
            outcome[network] = str(error.__cause__ or error)
    json.dump(outcome, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
