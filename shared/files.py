"""Files that other processes read while they are written."""

import os
from pathlib import Path


def write_whole(file: Path, data: bytes) -> None:
    """Write a file so that readers find its old content, or all of its new one."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_bytes(data)
    partial.replace(file)
