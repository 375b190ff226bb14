"""Make `import torchvision` work with a CPU build of torch.

The torchvision wheel of the package index contains C++ operators for CUDA builds. They don't load with a CPU build, and
torchvision then fails at import because it registers fake kernels for two missing operators. Only its models are used
here, none of those operators: declaring the two is sufficient. If they load, nothing is declared.
"""

from importlib.util import find_spec
from pathlib import Path

import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def _declare_missing_operators() -> "torch.library.Library":
    package = find_spec("torchvision")
    folders = package.submodule_search_locations if package else None
    for binary in (file for folder in folders or () for file in Path(folder).glob("_C*.so")):
        try:
            torch.ops.load_library(str(binary))
        except OSError:
            continue  # built for another torch: what it would have brought is declared below
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in _SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)
    return library


LIBRARY = _declare_missing_operators()  # the declarations live as long as this object
