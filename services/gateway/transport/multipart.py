"""Multipart/related bodies (RFC 2387, PS3.18 8.7.1), one part in memory at a time."""

import re
from collections.abc import Callable, Iterator

from shared.errors import InputError

_CHUNK = 2**20
_MOST_HEADER = 4096
_BOUNDARY = re.compile(r'boundary="?([^";,\s]+)', re.IGNORECASE)


class MalformedMultipart(InputError):
    """A body that is not multipart/related, is cut short, or has too large a part."""

    code = "malformed-multipart"


def boundary_of(content_type: str) -> bytes:
    """Return the boundary of a Content-Type.

    Raises:
        MalformedMultipart: it names none.
    """
    found = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/related") or found is None:
        raise MalformedMultipart("the body is not multipart/related with a boundary; send it as PS3.18 says")
    return found.group(1).encode()


def parts(read: Callable[[int], bytes], boundary: bytes, most_bytes: int) -> Iterator[bytes]:
    """Yield the content of each part, without its headers.

    Args:
        read: returns up to so many bytes of the body, b"" at its end.
        most_bytes: size of the largest part that is accepted.

    Raises:
        MalformedMultipart: the body ends early, or a part is larger.
    """
    delimiter = b"\r\n--" + boundary
    buffer = bytearray(b"\r\n")
    searched = 0
    first = True
    while True:
        place = buffer.find(delimiter, searched)
        if place < 0:
            searched = max(0, len(buffer) - len(delimiter))
            if len(buffer) > most_bytes + _MOST_HEADER:
                raise MalformedMultipart(f"a part is larger than {most_bytes >> 20} MB; send smaller objects")
            chunk = read(_CHUNK)
            if not chunk:
                raise MalformedMultipart("the body ends before its last boundary; send it again")
            buffer += chunk
            continue
        if not first:
            yield _content(bytes(buffer[:place]))
        first = False
        del buffer[: place + len(delimiter)]
        searched = 0
        while len(buffer) < 2 and (chunk := read(_CHUNK)):
            buffer += chunk
        if buffer[:2] == b"--":
            return


def _content(part: bytes) -> bytes:
    head, blank, content = part.partition(b"\r\n\r\n")
    if not blank or len(head) > _MOST_HEADER:
        raise MalformedMultipart("a part has no end of its headers; send it as PS3.18 says")
    return content


def body_of(contents: Iterator[bytes] | list[bytes], boundary: bytes) -> Iterator[bytes]:
    """Yield the pieces of a body whose parts are DICOM files."""
    for content in contents:
        yield b"--" + boundary + b"\r\nContent-Type: application/dicom\r\n\r\n"
        yield content
        yield b"\r\n"
    yield b"--" + boundary + b"--\r\n"
