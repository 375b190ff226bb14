"""Clients that misuse the inference service: each holds or floods connections for some seconds and counts the results.

All but `forms` have no API key. They run in a process of their own, so that they delay no probe by themselves.
"""

import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import requests

Besieger = Callable[[str, float], Counter[str]]
"""Called with the address (host:port) and the seconds to hold out; returns what became of its clients."""

SILENT, CROWD, FLOODERS, FORMS = 1000, 45, 12, 20
FLOOD_BYTES = 63 << 20
_PUBLIC = ("/", "/docs", "/openapi.json", "/healthz", "/readyz", "/v2/health/live")
_LARGEST_ANSWER = "/docs/swagger-ui-bundle.js"
_RESET = select.POLLHUP | select.POLLERR
_CONNECT_S, _ANSWER_S = 10, 90


def silent(address: str, seconds: float) -> Counter[str]:
    """Connect and send nothing."""
    return _held([b""] * SILENT, address, seconds)


def half_heads(address: str, seconds: float) -> Counter[str]:
    """Send the beginning of a request's head and no more."""
    return _held([b"GET / HTTP/1.1\r\nHost: siege\r\nX-Part: "] * CROWD, address, seconds)


def missing_bodies(address: str, seconds: float) -> Counter[str]:
    """Announce a body on routes that need no key, and never send it."""
    heads = [f"GET {path} HTTP/1.1\r\nHost: siege\r\nContent-Length: 1000000\r\n\r\n".encode() for path in _PUBLIC]
    return _held([heads[number % len(heads)] for number in range(CROWD)], address, seconds)


def unread_answers(address: str, seconds: float) -> Counter[str]:
    """Ask for a large page several times and read none of it."""
    request = f"GET {_LARGEST_ANSWER} HTTP/1.1\r\nHost: siege\r\n\r\n".encode()
    return _held([request * 8] * CROWD, address, seconds, receive_buffer=4096)


def keyless_floods(address: str, seconds: float) -> Counter[str]:
    """Send bodies of 63 MB without a key, to routes with and without one."""
    until, body = time.monotonic() + seconds, bytes(FLOOD_BYTES)
    heads = [
        f"{method} {path} HTTP/1.1\r\nHost: siege\r\nContent-Length: {FLOOD_BYTES}\r\n\r\n".encode()
        for method, path in (("POST", "/v1/predictions"), ("GET", "/docs"), ("POST", "/v1/exams"), ("GET", "/readyz"))
    ]

    def flood(number: int) -> Counter[str]:
        seen: Counter[str] = Counter()
        while time.monotonic() < until:
            with _connected(address) as connection:
                connection.settimeout(seconds)
                with suppress(OSError):  # the service may hang up before it has all of it
                    connection.sendall(heads[number % len(heads)])
                    connection.sendall(body)
                seen[_answer(connection)] += 1
        return seen

    return _together([partial(flood, number) for number in range(FLOODERS)])


def forms(address: str, seconds: float, body: bytes, headers: dict[str, str]) -> Counter[str]:
    """Send forms of seven large films with a key, again when the service says so, until `seconds` have passed."""
    until = time.monotonic() + seconds

    def send() -> Counter[str]:
        seen: Counter[str] = Counter()
        while time.monotonic() < until:
            try:
                answer = requests.post(f"http://{address}/v1/exams", data=body, headers=headers, timeout=_ANSWER_S)
            except requests.RequestException as error:
                seen[f"no answer ({type(error).__name__})"] += 1
                continue
            wait = answer.headers.get("Retry-After", "")
            seen[f"{answer.status_code}{' with Retry-After' if wait else ''}"] += 1
            if answer.status_code == 200:
                break
            time.sleep(min(float(wait or 1), 5.0))
        return seen

    return _together([send] * FORMS)


KEYLESS: dict[str, tuple[Besieger, float]] = {
    f"{SILENT} silent connections": (silent, 12),
    f"{CROWD} half heads": (half_heads, 12),
    f"{CROWD} bodies that never come": (missing_bodies, 12),
    f"{CROWD} clients that read no answer": (unread_answers, 12),
    f"{FLOODERS} keyless bodies of {FLOOD_BYTES >> 20} MB": (keyless_floods, 8),
}
"""Besiegers without a key, by their description, with the seconds that each holds out."""


def _held(sent: Sequence[bytes], address: str, seconds: float, receive_buffer: int = 0) -> Counter[str]:
    """Open a connection for each request, hold all of them for `seconds` and say how they are then."""
    until = time.monotonic() + seconds
    seen: Counter[str] = Counter()
    connections = []
    for request in sent:
        try:
            connections.append(_connected(address, receive_buffer))
            connections[-1].sendall(request)
        except OSError as error:
            seen[f"not connected ({type(error).__name__})"] += 1
    time.sleep(max(0.0, until - time.monotonic()))
    for connection in connections:
        seen[_state(connection, reads=not receive_buffer)] += 1
        connection.close()
    return seen


def _connected(address: str, receive_buffer: int = 0) -> socket.socket:
    host, port = address.split(":")
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(_CONNECT_S)
    connection.connect((host, int(port)))
    return connection


def _state(connection: socket.socket, *, reads: bool) -> str:
    """Return the status that was answered, `cut` where the service ended the connection, or `still open`."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    ready = poll.poll(0)
    if not ready or (not reads and not ready[0][1] & _RESET):
        return "still open"
    return _answer(connection) if reads else "cut"


def _answer(connection: socket.socket) -> str:
    try:
        head = connection.recv(64)
    except TimeoutError:
        return "no answer"
    except OSError:
        return "cut"
    return head.split()[1].decode() if head.startswith(b"HTTP/") else "cut"


def _together(clients: Sequence[Callable[[], Counter[str]]]) -> Counter[str]:
    total: Counter[str] = Counter()
    with ThreadPoolExecutor(len(clients)) as pool:
        for client in [pool.submit(each) for each in clients]:
            total += client.result()
    return total
