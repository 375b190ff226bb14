"""Initial weights of a run: copy files into the store, download ImageNet's."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from shared.digests import sha256_hex
from shared.errors import PlanError, WeightsUnavailable
from shared.modelling.network_table import TRANSFER_NETWORKS, Network
from shared.runs.plan import TORCHVISION
from shared.store import layout
from shared.store.interface import ObjectStore


def choose_weights(store: ObjectStore, choices: Sequence[str]) -> dict[Network, str]:
    """Resolve choices such as `resnet50=FILE` or `resnet50=KEY` to store keys.

    Files are copied into the store, so that any worker can read them. With `resnet50=torchvision` the training workers
    download torchvision's weights, even where this machine can't reach them.

    Raises:
        PlanError: a choice is malformed, or names neither a file nor an object.
    """
    chosen: dict[Network, str] = {}
    expected = " or ".join(f"{name}=FILE" for name in TRANSFER_NETWORKS)
    for choice in choices:
        name, _, place = choice.partition("=")
        if name not in TRANSFER_NETWORKS or not place:
            raise PlanError(f"'{choice}' is not a choice of weights; give {expected} (or a key)")
        chosen[name] = place if place == TORCHVISION else _key_of(store, Path(place).expanduser(), place)
    return chosen


def fetch_imagenet(networks: Sequence[Network]) -> dict[Network, str | None]:
    """Download torchvision's ImageNet weights into its cache.

    Returns:
        For each network None, or the reason why its weights are unavailable.
    """
    return _tried(networks)


def check_weights(store: ObjectStore, weights: Mapping[Network, str]) -> None:
    """Check that training can start from the weights, before a run is started.

    Args:
        weights: by network, 'torchvision' or a key in the store.

    Raises:
        WeightsUnavailable: names the networks and the reasons.
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
        reasons_text = "; ".join(f"{network}: {reason}" for network, reason in reasons.items())
        raise WeightsUnavailable(
            f"no run was started, because pretrained weights are unavailable ({reasons_text}). Give a file with "
            f"--weights {next(iter(reasons))}=FILE, choose --from-scratch, or let the training workers "
            "download them with "
            f"--weights {next(iter(reasons))}={TORCHVISION}"
        )


def can_check_weights() -> bool:
    """Return True if torch is installed; the containers of the command line lack it."""
    return importlib.util.find_spec("torch") is not None


def _tried(choices: Sequence[str]) -> dict[Network, str | None]:
    """Run `shared.modelling.weight_download` on each choice, in a process of its own."""
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
        return dict.fromkeys(names, f"the download process ended with status {finished.returncode}")
    return cast("dict[Network, str | None]", json.loads(finished.stdout))


def _key_of(store: ObjectStore, path: Path, place: str) -> str:
    if path.is_file():
        data = path.read_bytes()
        key = layout.weights(sha256_hex(data), path.name)
        if not store.exists(key):
            store.put(key, data)
        return key
    if place.startswith(layout.weights("", "").rstrip("/")) and store.exists(place):
        return place
    raise PlanError(f"there are no weights at '{place}': give an existing file or a store key below weights/")
