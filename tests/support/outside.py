"""Notices what a test starts outside its own process."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3.util.connection  # noqa: F401  its first import binds a socket, to see whether there is IPv6

_PROCESSES = frozenset({"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "subprocess.Popen"})
_LOOPBACK = ("127.", "::1", "localhost")
_noticed: list[list[str]] = []
"""A list for each `noticing` that goes on; Python can't remove the audit hook that fills them."""


@contextmanager
def noticing() -> Iterator[list[str]]:
    """Give a list that fills with the processes, listening sockets and remote connections that the block starts."""
    events: list[str] = []
    _noticed.append(events)
    try:
        yield events
    finally:
        _noticed.remove(events)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _noticed:
        return
    if event in _PROCESSES or event == "socket.bind" or (event == "socket.connect" and _is_remote(arguments[1])):
        for events in _noticed:
            events.append(event)


def _is_remote(address: Any) -> bool:
    return isinstance(address, tuple) and not str(address[0]).startswith(_LOOPBACK)


sys.addaudithook(_audit)
