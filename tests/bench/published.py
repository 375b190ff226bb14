"""What the servers of a benchmark serve: a store with a ResNet-50 of random weights in production, and generated films.

Run as a process, so that torch, which exports the network, is in no process that is measured or measures.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from shared.local.commands import ROOT

NETWORK, VERSION, SIZE = "resnet50", "v1", 224


@dataclass(frozen=True)
class Published:
    """In `folder`: the store, and one film of 1024 x 1024 in two encodings."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def model(self) -> Path:
        """The folder of the published version."""
        return self.store / "models" / NETWORK / VERSION

    def film(self, encoding: str) -> Path:
        """`png` or `pgm`."""
        return self.folder / f"film.{encoding}"


def publish(folder: Path) -> Published:
    """Exports and publishes the network into `folder`; takes about 20 seconds."""
    subprocess.run([sys.executable, "-m", "tests.bench.published", str(folder)], cwd=ROOT, check=True)
    return Published(folder)


def _main(published: Published) -> None:
    import numpy as np
    import torch

    from services.train.fitting.serialise import network_to_bytes
    from services.train.publishing.publish import model_files
    from shared.datasets.phantom import render
    from shared.domain.records import Label
    from shared.imaging.formats.decode import encode_pgm, encode_png
    from shared.modelling.networks import build
    from shared.store import models
    from shared.store.directory import DirectoryStore
    from tests.support.builders import model_card, preprocessing_card

    torch.manual_seed(1)
    store = DirectoryStore(published.store)
    card = model_card(NETWORK, VERSION, preprocessing=preprocessing_card(SIZE))
    models.publish(store, card, model_files(NETWORK, network_to_bytes(build(NETWORK)), SIZE, 1))
    models.promote(store, NETWORK, VERSION, models.MoveReason(by="bench", why="bench"))
    pixels = render(np.random.default_rng(1), "left", "G", Label.BENIGN).pixels
    published.film("png").write_bytes(encode_png(pixels))
    published.film("pgm").write_bytes(encode_pgm(pixels))


if __name__ == "__main__":
    _main(Published(Path(sys.argv[1])))
