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
    """Return the coding of a `Content-Encoding` header, None for a body as it is. Raises UnsupportedMediaType."""
    name = coding.strip().lower().removeprefix("x-")
    if name in {"", "identity"}:
        return None
    if name not in CODINGS:
        raise UnsupportedMediaType(
            f"the Content-Encoding '{coding[:40]}' is not read; send {' or '.join(CODINGS)}, or the body as it is"
        )
    return name


def decoded(pieces: Iterable[bytes], coding: str | None) -> Iterator[bytes]:
    """Undo a content coding, at most PIECE bytes at a time, so that whoever counts them can stop in time.

    `deflate` is zlib's format; bare deflate data, which some clients send under that name, are told by the first byte.

    Raises:
        InputError: the data are not of that coding, or end too early.
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
                        raise InputError(f"bytes follow the {coding} data of the body; send the request again")
                    inflate, begun = zlib.decompressobj(_window(coding, left[0])), True
                yield inflate.decompress(left, PIECE)
                left = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
    except zlib.error as error:
        raise InputError(f"the body is not of the Content-Encoding {coding} that it names; mend one of them") from error
    if begun and not inflate.eof:
        raise InputError(f"the {coding} data of the body end too early; send the request again")


def _window(coding: str, first: int) -> int:
    """The `wbits` of zlib for data that begin with a byte."""
    if coding == "gzip":
        return zlib.MAX_WBITS | 16
    return zlib.MAX_WBITS if first & 15 == zlib.DEFLATED else -zlib.MAX_WBITS
