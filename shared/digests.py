"""The digest by which files, images, plans and API keys are known."""

import hashlib


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 digest of `data` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
