"""The names of engines: a library and the number format of its matrix products and convolutions."""

from typing import Literal

CpuEngine = Literal["onnx", "openvino", "openvino-bf16", "onnx-int8", "openvino-int8"]
CPU_ENGINES: tuple[CpuEngine, ...] = ("onnx", "openvino", "openvino-bf16", "onnx-int8", "openvino-int8")
"""From the most exact to the least."""

EngineName = Literal[CpuEngine, "torch"]
EngineSetting = Literal["auto", EngineName]
NumberFormat = Literal["float32", "bfloat16", "int8"]


def number_format(engine: CpuEngine) -> NumberFormat:
    """Return the number format of an engine's matrix products and convolutions."""
    if engine.endswith("-int8"):
        return "int8"
    return "bfloat16" if engine.endswith("-bf16") else "float32"
