"""Where training starts: weights that were brought along go into the store, ImageNet's are fetched beforehand."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from shared.errors import PlanError
from shared.modelling.recipes import Network
from shared.store import keys
from shared.store.objects import ObjectStore

TRANSFER_NETWORKS: tuple[Network, ...] = ("alexnet", "resnet50")
"""The networks that start from pretrained weights; the modified CNN never does."""


def choose_weights(store: ObjectStore, choices: Sequence[str]) -> dict[Network, str]:
    """The keys in the store of choices such as `resnet50=FILE` or `resnet50=KEY`.

    Files are put there, so that any worker has them.

    Raises:
        PlanError: a choice is malformed, or names neither a file nor an object.
    """
    chosen: dict[Network, str] = {}
    for choice in choices:
        name, _, place = choice.partition("=")
        if name not in TRANSFER_NETWORKS or not place:
            raise PlanError(f"'{choice}' is no choice of weights; give alexnet=FILE or resnet50=FILE (or a key)")
        chosen[name] = _key_of(store, Path(place).expanduser(), place)
    return chosen


def fetch_imagenet(networks: Sequence[Network]) -> dict[Network, str | None]:
    """Fetches torchvision's ImageNet weights into its cache: for each network None, or why they can't be had."""
    if not networks:
        return {}
    root = Path(__file__).resolve().parents[1]
    finished = subprocess.run(
        (sys.executable, "-m", "shared.modelling.fetch", *networks),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    if finished.returncode:
        return dict.fromkeys(networks, f"the attempt ended with status {finished.returncode}")
    return cast("dict[Network, str | None]", json.loads(finished.stdout))


def _key_of(store: ObjectStore, path: Path, place: str) -> str:
    if path.is_file():
        data = path.read_bytes()
        key = keys.weights(hashlib.sha256(data).hexdigest(), path.name)
        if not store.exists(key):
            store.put(key, data)
        return key
    if place.startswith(keys.weights("", "").rstrip("/")) and store.exists(place):
        return place
    raise PlanError(f"there are no weights at '{place}': neither a file here nor a key of the store")
