"""What PNG settings cost and save on the images that the workers write; one core.

Eight films, of MIAS where `MAMMO_TEST_MIAS` names a copy, otherwise generated: the variants, the segmented films and
their masks.
"""

import itertools

import cv2
import numpy as np
import numpy.typing as npt

from services.augment.core import apply_transform, draw_transform
from shared.imaging.formats.decode import encode_png
from shared.imaging.segmentation.segment import segment
from shared.modelling.profiles import PROFILES
from tests.bench import timing
from tests.bench.dataset import films

Grey = npt.NDArray[np.uint8]
STRATEGIES = {"default": 0, "huffman": cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY, "runs": cv2.IMWRITE_PNG_STRATEGY_RLE}
FILTERS = {
    "none": cv2.IMWRITE_PNG_FILTER_NONE,
    "sub": cv2.IMWRITE_PNG_FILTER_SUB,
    "up": cv2.IMWRITE_PNG_FILTER_UP,
    "paeth": cv2.IMWRITE_PNG_FILTER_PAETH,
    "all": cv2.IMWRITE_PNG_ALL_FILTERS,
}
SETTINGS = [
    (0, "default", "none"),
    *((1, strategy, name) for strategy in STRATEGIES for name in FILTERS),
    *((level, "default", "up") for level in (3, 6, 9)),
]


def images() -> dict[str, list[Grey]]:
    """What the two stages write."""
    recipe, variants = PROFILES["full"].augmentation, []
    for number, film in enumerate(films()):
        transform = draw_transform(recipe, f"film{number}", 1, *film.shape[::-1])
        variants.append(to_grey(apply_transform(film, transform)))
    segmented = [segment(variant) for variant in variants]
    return {
        "variant": variants,
        "segmented": [to_grey(result.film) for result in segmented],
        "mask": [result.mask for result in segmented],
    }


def to_grey(pixels: npt.NDArray[np.generic]) -> Grey:
    return np.asarray(pixels, np.uint8)


def encode(setting: tuple[int, str, str], image: Grey) -> bytes:
    level, strategy, name = setting
    options = [cv2.IMWRITE_PNG_COMPRESSION, level, cv2.IMWRITE_PNG_STRATEGY, STRATEGIES[strategy]]
    return cv2.imencode(".png", image, [*options, cv2.IMWRITE_PNG_FILTER, FILTERS[name]])[1].tobytes()


def main() -> None:
    timing.keep_to_one_core()
    written = images()
    chosen = [encode_png(image) for image in written["variant"]]
    print("PNG of what the workers write, on one core: ms to encode, ms to decode, KB")
    print(f"  {'level':7}{'strategy':10}{'filter':8}" + "".join(f"{kind:>26}" for kind in written))
    for setting in SETTINGS:
        cells = "".join(cell(setting, kind) for kind in written.values())
        mark = "  *" if [encode(setting, image) for image in written["variant"]] == chosen else ""
        print(f"  {setting[0]:<7}{setting[1]:10}{setting[2]:8}{cells}{mark}", flush=True)
    print("  * what is used")


def cell(setting: tuple[int, str, str], kind: list[Grey]) -> str:
    files = [encode(setting, image) for image in kind]
    turn, back = itertools.cycle(kind), itertools.cycle(files)
    works: dict[str, timing.Work] = {
        "encode": lambda: encode(setting, next(turn)),
        "decode": lambda: cv2.imdecode(np.frombuffer(next(back), np.uint8), cv2.IMREAD_GRAYSCALE),
    }
    seen = timing.milliseconds(works, seconds=0.5, least=2 * len(kind))
    size = sum(map(len, files)) / len(files) / 1024
    return f"{seen['encode']:10.1f}{seen['decode']:8.1f}{size:8.0f}"


if __name__ == "__main__":
    main()
