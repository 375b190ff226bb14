"""A digest of the code that trains, to tell which code a result came from."""

import hashlib
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parents[3]
_FOLDERS = ("shared", "services/train")
_SUFFIXES = {".py", ".j2"}


@cache
def code_sha256() -> str:
    """Return the digest of all source files of `shared` and the train service, with their paths."""
    digest = hashlib.sha256()
    files = (file for folder in _FOLDERS for file in (_ROOT / folder).rglob("*") if file.suffix in _SUFFIXES)
    for file in sorted(files):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(_ROOT).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
