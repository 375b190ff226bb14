"""What a film costs before the network sees it, as a share of ResNet-50's forward on the same core.

Decode, segment, gate and preprocessing of one film of 1024 x 1024, against ONNX Runtime in single precision at 224, by
turns. Eight films, of MIAS where `MAMMO_TEST_MIAS` names a copy, otherwise generated.
"""

import itertools
import tempfile
from pathlib import Path

import services  # noqa: F401  sets what OpenMP and ONNX Runtime must know before they are imported

# isort: split
import numpy as np
import onnxruntime

from shared.imaging.formats.decode import decode, encode_pgm, encode_png
from shared.imaging.preprocess import Preprocessing, network_input, prepare
from shared.imaging.segmentation.segment import segment
from tests.bench import timing
from tests.bench.dataset import films
from tests.bench.published import SIZE, publish

WANTED = {"PGM": 0.06, "PNG": 0.12}
_PREPROCESSING = Preprocessing(size=SIZE)


def forward(graph: bytes) -> timing.Work:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    film = np.random.default_rng(1).random((1, 1, SIZE, SIZE), np.float32)
    return lambda: session.run(["logits"], {"films": film})


def preparing(files: list[bytes]) -> timing.Work:
    turn = itertools.cycle(files)
    return lambda: prepare(next(turn), _PREPROCESSING)


def main() -> None:
    timing.keep_to_one_core()
    pixels = films()
    with tempfile.TemporaryDirectory(prefix="mammostack-bench-") as folder:
        graph = (publish(Path(folder)).model / "model.onnx").read_bytes()
    written = {"PGM": [encode_pgm(film) for film in pixels], "PNG": [encode_png(film) for film in pixels]}
    works: dict[str, timing.Work] = {"forward": forward(graph)}
    for encoding, files in written.items():
        works[encoding] = preparing(files)
    seen = timing.milliseconds(works, seconds=12.0, least=16)
    print(f"from a file to the network's input, one core; ResNet-50 at {SIZE} takes {seen['forward']:.1f} ms on it")
    for encoding, wanted in WANTED.items():
        share = seen[encoding] / seen["forward"]
        verdict = f"wanted {wanted:.0%}" + ("" if share <= wanted else ", short")
        print(f"  {encoding}{seen[encoding]:8.1f} ms{share:8.1%}   {verdict}")
    parts = timing.milliseconds(stages(written["PNG"][0], written["PGM"][0]), seconds=3.0, least=16)
    print("  of it: " + ", ".join(f"{name} {ms:.1f} ms" for name, ms in parts.items()))


def stages(png: bytes, pgm: bytes) -> dict[str, timing.Work]:
    """What the time goes to, with the first film."""
    image = decode(pgm)
    segmented = segment(image.pixels, image.bits)
    film, mask = segmented.film, segmented.mask
    return {
        "decoding PNG": lambda: decode(png),
        "decoding PGM": lambda: decode(pgm),
        "segmentation and gate": lambda: segment(image.pixels, image.bits).gate,
        "preprocessing": lambda: network_input(film, mask, _PREPROCESSING),
    }


if __name__ == "__main__":
    main()
