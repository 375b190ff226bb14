"""What the servers of a benchmark serve: a store with a ResNet-50 of random weights in production, and generated films.

Run as a process, so that torch, which exports the network, is in no process that is measured or measures.
"""

import os
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
        """The folder of the published version's files."""
        (weights,) = (self.store / "models" / NETWORK / VERSION).rglob("model.safetensors")
        return weights.parent

    def film(self, encoding: str) -> Path:
        """`png` or `pgm`."""
        return self.folder / f"film.{encoding}"


def publish(folder: Path, root: Path = ROOT) -> Published:
    """Export and publish the network into `folder` by the code at `root`; takes about 20 seconds."""
    environment = {**os.environ, "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-m", "tests.bench.published", str(folder)], cwd=root, env=environment, check=True)
    return Published(folder)


def _main(published: Published) -> None:
    import numpy as np
    import torch

    from services.train.data.examples import Examples
    from services.train.fitting.serialise import network_to_bytes
    from services.train.publishing.number_formats import Judge
    from services.train.publishing.publish import model_files
    from services.train.publishing.quantise import quantised
    from shared.datasets.phantom import render
    from shared.domain.records import Label
    from shared.imaging.formats.decode import encode_pgm, encode_png
    from shared.imaging.preprocess import Preprocessing, prepare
    from shared.modelling.card import GOLDEN, GOLDEN_BFLOAT16, GOLDEN_INT8, INT8, ONNX
    from shared.modelling.networks import build
    from shared.store import models
    from shared.store.directory import DirectoryStore
    from tests.support.builders import model_card, preprocessing_card

    torch.manual_seed(1)
    store = DirectoryStore(published.store)
    files = model_files(NETWORK, network_to_bytes(build(NETWORK)), SIZE, 1)
    films = [render(np.random.default_rng(seed), "left", "G", Label.BENIGN).pixels for seed in range(2, 10)]
    inputs = np.stack([prepare(encode_pgm(film), Preprocessing(size=SIZE)).input for film in films])
    quantised_graph, points = quantised(files[ONNX], inputs), model_card(NETWORK, VERSION).operating_points
    judge = Judge.of(files[ONNX], Examples(inputs, np.arange(len(inputs)) % 3), None, 1.0, points)
    bfloat16, golden_bfloat16 = judge.bfloat16(files[ONNX], files[GOLDEN])
    int8, golden_int8 = judge.int8(quantised_graph, files[GOLDEN])
    # Random weights pass no gate: what is measured here is time, so both formats are offered whatever they decide.
    card = model_card(
        NETWORK,
        VERSION,
        preprocessing=preprocessing_card(SIZE),
        bfloat16=bfloat16 and bfloat16.model_copy(update={"offered": True, "decisions_equal": 1.0}),
        int8=int8.model_copy(update={"offered": True, "decisions_equal": 1.0}),
    )
    files |= {INT8: quantised_graph, GOLDEN_INT8: golden_int8, GOLDEN_BFLOAT16: golden_bfloat16}
    models.publish(store, card, files)
    models.promote(store, NETWORK, VERSION, models.MoveReason(by="bench", why="bench"))
    pixels = render(np.random.default_rng(1), "left", "G", Label.BENIGN).pixels
    published.film("png").write_bytes(encode_png(pixels))
    published.film("pgm").write_bytes(encode_pgm(pixels))


if __name__ == "__main__":
    _main(Published(Path(sys.argv[1])))
