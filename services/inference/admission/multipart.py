"""Parse multipart forms (RFC 7578) on arrival: once in memory, never on disk.

The parser is the package `multipart`. werkzeug's needs each file two to three times, and its release 3.1.9 adds a
carriage return to a file if a piece of the body ends after a boundary.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser
from werkzeug.exceptions import RequestEntityTooLarge

from shared.errors import InputError

_MOST_PARTS = 100
_MOST_TEXT = 500_000
_PLAIN_NAME = re.compile(r"[\w.-]{1,40}")


@dataclass(frozen=True)
class UploadedFile:
    """A file of a form. `name` is as it was sent, None without one; `data` is None where the file was too large."""

    name: str | None
    data: bytes | None


@dataclass(frozen=True)
class MultipartForm:
    """The files of a multipart form in their order, and its text fields, of which a name may come several times."""

    files: tuple[UploadedFile, ...]
    texts: dict[str, tuple[str, ...]]


@dataclass
class _Part:
    """A part of a form that is being read: a file, where `most` bounds what is kept of it, or a text."""

    name: str
    file: str | None
    most: int
    size: int = 0
    pieces: list[bytes] = field(default_factory=list)

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size <= self.most:
            self.pieces.append(piece)
        elif self.file is None:
            shown = f" '{self.name}'" if _PLAIN_NAME.fullmatch(self.name) else ""
            raise RequestEntityTooLarge(
                f"the field{shown} has no file name and more than {_MOST_TEXT // 1000} kB; send images as files, "
                "with a file name"
            )
        else:
            self.pieces.clear()

    @property
    def data(self) -> bytes | None:
        return b"".join(self.pieces) if self.size <= self.most else None


def read_form(pieces: Iterable[bytes], boundary: str, most_file: int) -> MultipartForm:
    """Read a multipart form. The data of a file of more than `most_file` bytes are None.

    An input of a form in which no file was chosen (neither name nor bytes) is passed over.

    Raises:
        InputError: it is no such form, or ends too early.
        RequestEntityTooLarge: it has too many parts, or too long a text.
    """
    try:
        parts = list(_parts(pieces, boundary, most_file))
    except ParserLimitReached as error:
        raise RequestEntityTooLarge(
            f"the form has more than {_MOST_PARTS} parts, or a part with too long a header; send fewer files "
            "per request"
        ) from error
    except (MultipartError, UnicodeError) as error:
        raise InputError(
            "the body is not valid multipart/form-data; correct the client, or send the request again"
        ) from error
    texts: dict[str, tuple[str, ...]] = {}
    for part in parts:
        if part.file is None:
            texts[part.name] = (*texts.get(part.name, ()), (part.data or b"").decode("utf-8", "replace"))
    chosen = (part for part in parts if part.file is not None and (part.file or part.size))
    return MultipartForm(tuple(UploadedFile(part.file or None, part.data) for part in chosen), texts)


def _parts(pieces: Iterable[bytes], boundary: str, most_file: int) -> Iterator[_Part]:
    """Yield the parts in their order. Raises MultipartError or UnicodeError where the form is malformed."""
    with PushMultipartParser(boundary.encode("ascii"), max_segment_count=_MOST_PARTS) as parser:
        for piece in pieces:
            for event in parser.parse(piece):
                if isinstance(event, MultipartSegment):
                    most = _MOST_TEXT if event.filename is None else most_file
                    part = _Part(event.name or "", event.filename, most)
                elif event is None:
                    yield part
                else:
                    part.add(bytes(event))
