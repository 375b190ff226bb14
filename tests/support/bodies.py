"""Bodies of requests as they arrive, and the two ends of a connection."""

import socket
from collections.abc import Iterator
from typing import TypeAlias

Pair: TypeAlias = tuple[socket.socket, socket.socket]


def in_pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))
