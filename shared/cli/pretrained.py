"""Where training starts: weights that were brought along go into the store, ImageNet's are fetched beforehand."""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from shared.errors import PlanError, WeightsUnavailable
from shared.modelling.network_table import TRANSFER_NETWORKS, Network
from shared.runs.plan import TORCHVISION
from shared.store import layout
from shared.store.interface import ObjectStore


def choose_weights(store: ObjectStore, choices: Sequence[str]) -> dict[Network, str]:
    """The keys in the store of choices such as `resnet50=FILE` or `resnet50=KEY`.

    Files are put there, so that any worker has them. `resnet50=torchvision` leaves it to the training workers to fetch
    torchvision's, where they reach what this machine does not.

    Raises:
        PlanError: a choice is malformed, or names neither a file nor an object.
    """
    chosen: dict[Network, str] = {}
    expected = " or ".join(f"{name}=FILE" for name in TRANSFER_NETWORKS)
    for choice in choices:
        name, _, place = choice.partition("=")
        if name not in TRANSFER_NETWORKS or not place:
            raise PlanError(f"'{choice}' is no choice of weights; give {expected} (or a key)")
        chosen[name] = place if place == TORCHVISION else _key_of(store, Path(place).expanduser(), place)
    return chosen


def fetch_imagenet(networks: Sequence[Network]) -> dict[Network, str | None]:
    """Fetches torchvision's ImageNet weights into its cache: for each network None, or why they can't be had."""
    return _tried(networks)


def check_weights(store: ObjectStore, weights: Mapping[Network, str]) -> None:
    """Find weights that training could not start from, before anything else is done.

    Args:
        weights: 'torchvision', or a key in the store.

    Raises:
        WeightsUnavailable: says of which networks, and why.
    """
    with tempfile.TemporaryDirectory(prefix="mammostack-weights-") as folder:
        choices = []
        for network, place in weights.items():
            file = Path(folder, network, place.rpartition("/")[2])
            if place != TORCHVISION:
                file.parent.mkdir()
                file.write_bytes(store.get(place))
            choices.append(network if place == TORCHVISION else f"{network}={file}")
        reasons = {network: reason for network, reason in _tried(choices).items() if reason is not None}
    if reasons:
        told = "; ".join(f"{network}: {reason}" for network, reason in reasons.items())
        raise WeightsUnavailable(
            f"no run was started, for its pretrained weights can't be had ({told}). Bring a file along with "
            f"--weights {next(iter(reasons))}=FILE, choose --from-scratch, or leave it to the training workers with "
            f"--weights {next(iter(reasons))}={TORCHVISION}"
        )


def can_check_weights() -> bool:
    """Whether torch is installed here; the command line runs in containers without it."""
    return importlib.util.find_spec("torch") is not None


def _tried(choices: Sequence[str]) -> dict[Network, str | None]:
    """What `shared.modelling.weight_download` says of each choice."""
    if not choices:
        return {}
    root = Path(__file__).resolve().parents[2]
    finished = subprocess.run(
        (sys.executable, "-m", "shared.modelling.weight_download", *choices),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    if finished.returncode:
        names = [choice.partition("=")[0] for choice in choices]
        return dict.fromkeys(names, f"the attempt ended with status {finished.returncode}")
    return cast("dict[Network, str | None]", json.loads(finished.stdout))


def _key_of(store: ObjectStore, path: Path, place: str) -> str:
    if path.is_file():
        data = path.read_bytes()
        key = layout.weights(hashlib.sha256(data).hexdigest(), path.name)
        if not store.exists(key):
            store.put(key, data)
        return key
    if place.startswith(layout.weights("", "").rstrip("/")) and store.exists(place):
        return place
    raise PlanError(f"there are no weights at '{place}': neither a file here nor a key of the store")
