"""Which code it was: a digest of all of it that a training worker runs."""

import hashlib
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parents[3]
_PARTS = ("shared", "services/train")
_SUFFIXES = {".py", ".j2"}


@cache
def code_sha256() -> str:
    """Of every source file of `shared` and of this service, with its path. Two runs of the same code have the same."""
    digest = hashlib.sha256()
    files = (file for part in _PARTS for file in (_ROOT / part).rglob("*") if file.suffix in _SUFFIXES)
    for file in sorted(files):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(_ROOT).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
