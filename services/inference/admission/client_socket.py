"""Connections of clients whose answers are sent without a thread waiting for the client to read them."""

import errno
import select
import socket
from contextlib import suppress
from typing import Any

MOST_UNSENT = 4 << 20
"""Bytes of an answer that are kept; the thread of a longer one waits until its client has read."""
READ_WITHIN_S = 10.0


class ClientSocket(socket.socket):
    """The connection of a client.

    `sendall` sends what the system takes at once and keeps the rest in `unsent`; `send_more` sends of that when the
    connection is writable again. No answer follows before `unsent` is empty.
    """

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self.unsent = bytearray()

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send or keep `data`.

        Raises:
            OSError: the connection is broken, or the client of an answer of more than `MOST_UNSENT` does not read.
        """
        rest = memoryview(data)
        if not self.unsent:
            with suppress(BlockingIOError):
                rest = rest[self.send(rest, flags | socket.MSG_DONTWAIT) :]
        self.unsent += rest
        while len(self.unsent) > MOST_UNSENT:
            writable = select.poll()
            writable.register(self, select.POLLOUT)
            if not writable.poll(READ_WITHIN_S * 1000):
                raise TimeoutError(errno.ETIMEDOUT, "the client does not read the answer")
            self.send_more()

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send or keep a part of a file, which is read into memory: the page's files are small."""
        file.seek(offset)
        data: bytes = file.read(-1 if count is None else count)
        self.sendall(data)
        return len(data)

    def send_more(self) -> int:
        """Send of what is unsent; return the number of bytes. Raises OSError if the connection is broken."""
        try:
            sent = self.send(self.unsent, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        del self.unsent[:sent]
        return sent

    def reset(self) -> None:
        """Close the connection; the system drops what it has not sent (RST instead of FIN)."""
        with suppress(OSError):
            self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()
