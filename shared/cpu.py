"""The CPU of this machine and its instructions, as far as the system tells."""

import os
import platform
from functools import cache
from pathlib import Path

_BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16", "avx_ne_convert")


@cache
def cpu() -> str:
    """Describe this CPU: its name, and what it can do."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(errors="replace").splitlines() if told.exists() else []
    kept = {line for line in lines if line.split("\t")[0].strip() in ("model name", "flags", "Features", "CPU part")}
    masked = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    return "\n".join((platform.machine(), str(os.cpu_count()), masked, *sorted(kept)))


def has_amx() -> bool:
    """Return True if the CPU multiplies matrices of bfloat16 in tiles (AMX), many times as fast as by its vectors."""
    return "amx_bf16" in cpu().split()


def has_bfloat16() -> bool:
    """Return True if the CPU has instructions for bfloat16; others emulate it."""
    return any(flag in cpu().split() for flag in _BFLOAT16_FLAGS)
