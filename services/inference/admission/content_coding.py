"""Undoes the content coding of a request's body (RFC 9110, 8.4.1), piece by piece."""

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from werkzeug.exceptions import UnsupportedMediaType

from shared.errors import InputError

PIECE: Final = 4 << 20
"""Bytes that are read, or decompressed, at a time: most films come in one piece."""

CODINGS = ("gzip", "deflate")


def check_coding(coding: str) -> str | None:
    """Return the coding of a `Content-Encoding` header; None: not encoded.

    Raises:
        UnsupportedMediaType: the coding is not supported.
    """
    name = coding.strip().lower().removeprefix("x-")
    if name in {"", "identity"}:
        return None
    if name not in CODINGS:
        raise UnsupportedMediaType(
            f"the Content-Encoding '{coding[:40]}' is not supported; send {' or '.join(CODINGS)}, or an unencoded body"
        )
    return name


def decoded(pieces: Iterable[bytes], coding: str | None) -> Iterator[bytes]:
    """Decode a content coding, at most PIECE bytes at a time, for checks of the size.

    `deflate` is zlib's format; raw deflate data, which some clients send under that name, are recognised by the first
    byte.

    Raises:
        InputError: the data are not valid, or truncated.
    """
    if coding is None:
        yield from pieces
        return
    inflate, begun = zlib.decompressobj(), False
    try:
        for piece in pieces:
            left = piece
            while left:
                if not begun or inflate.eof:
                    if begun and coding != "gzip":
                        raise InputError(f"the body has extra bytes after its {coding} data; send the request again")
                    inflate, begun = zlib.decompressobj(_window(coding, left[0])), True
                yield inflate.decompress(left, PIECE)
                left = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
    except zlib.error as error:
        raise InputError(f"the body is not valid {coding} data; correct the body or its Content-Encoding") from error
    if begun and not inflate.eof:
        raise InputError(f"the {coding} data of the body are truncated; send the request again")


def _window(coding: str, first: int) -> int:
    """Return zlib's `wbits` for data that start with the byte `first`."""
    if coding == "gzip":
        return zlib.MAX_WBITS | 16
    return zlib.MAX_WBITS if first & 15 == zlib.DEFLATED else -zlib.MAX_WBITS
