"""Takes multipart forms apart (RFC 7578) as they come: the files of a form are in memory once, and on no disk.

werkzeug's parser is not used: it needs each file two to three times, and version 3.1.9 adds a carriage return to a file
where a piece of the body ends behind a boundary.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header

from shared.errors import InputError

_MOST_PARTS = 100
_MOST_TEXT = 500_000
_MOST_HEAD = 16_384
_PLAIN_NAME = re.compile(r"[\w.-]{1,40}")


@dataclass(frozen=True)
class SentFile:
    """A file of a form. `name` is as it was sent, None without one; `data` is None where the file was too large."""

    name: str | None
    data: bytes | None


@dataclass(frozen=True)
class SentForm:
    """The files of a multipart form in their order, and its text fields, of which a name may come several times."""

    files: tuple[SentFile, ...]
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
                f"the field{shown} has no file name and more than {_MOST_TEXT // 1000} kB; send an image as a file, "
                "with a file name"
            )
        else:
            self.pieces.clear()

    @property
    def data(self) -> bytes | None:
        return b"".join(self.pieces) if self.size <= self.most else None


def read_form(pieces: Iterable[bytes], boundary: str, most_file: int) -> SentForm:
    """Take a multipart form apart. A file of more than `most_file` bytes is told by data that are None.

    An input of a form in which no file was chosen (neither name nor bytes) is passed over.

    Raises:
        InputError: it is no such form, or ends too early.
        RequestEntityTooLarge: it has too many parts, or too long a text.
    """
    try:
        parts = list(_parts(pieces, boundary, most_file))
    except ValueError as error:
        raise InputError("the form is not what multipart/form-data says it is; send it again") from error
    texts: dict[str, tuple[str, ...]] = {}
    for part in parts:
        if part.file is None:
            texts[part.name] = (*texts.get(part.name, ()), (part.data or b"").decode("utf-8", "replace"))
    chosen = (part for part in parts if part.file is not None and (part.file or part.size))
    return SentForm(tuple(SentFile(part.file or None, part.data) for part in chosen), texts)


def _parts(pieces: Iterable[bytes], boundary: str, most_file: int) -> Iterator[_Part]:
    """The parts in their order (RFC 2046, 5.1.1). Raises ValueError where the form is malformed."""
    if not boundary:
        raise ValueError("without a boundary")
    delimiter = b"\r\n--" + boundary.encode("ascii")
    scan = _Scanner(chain((b"\r\n",), pieces))  # the first boundary may be the very beginning
    for _ in scan.until(delimiter):
        pass
    for _ in range(_MOST_PARTS):
        if scan.is_next(b"--"):
            return
        if scan.short(b"\r\n").strip(b" \t"):
            raise ValueError("a boundary with something behind it")
        part = _part_of(scan.short(b"\r\n\r\n"), most_file)
        # A part without a body may go without the blank line in front of it, which then is that of the boundary.
        for piece in scan.until(delimiter[2:] if scan.is_next(delimiter[2:]) else delimiter):
            part.add(piece)
        yield part
    if not scan.is_next(b"--"):
        raise RequestEntityTooLarge(f"the form has more than {_MOST_PARTS} parts; send less in a request")


def _part_of(head: bytes, most_file: int) -> _Part:
    """The part that begins with this head. Raises ValueError."""
    for line in re.sub(r"\r\n[ \t]+", " ", head.decode()).split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            _, options = parse_options_header(value.strip())
            file = options.get("filename")
            return _Part(options.get("name", ""), file, _MOST_TEXT if file is None else most_file)
    raise ValueError("a part without Content-Disposition")


class _Scanner:
    """Looks for marks in bytes that come in pieces, wherever a mark is cut. All methods raise ValueError at the end."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._buffer = b""

    def until(self, mark: bytes) -> Iterator[bytes]:
        """Pass over what is in front of the next mark, which is yielded in pieces, and over the mark."""
        while (at := self._buffer.find(mark)) < 0:
            sure = max(0, len(self._buffer) - len(mark) + 1)
            if sure:
                yield self._buffer[:sure]
            self._read_on(sure)
        yield self._buffer[:at]
        self._buffer = self._buffer[at + len(mark) :]

    def short(self, mark: bytes) -> bytes:
        """What is in front of the next mark, if that is short."""
        found = b""
        for piece in self.until(mark):
            found += piece
            if len(found) > _MOST_HEAD:
                raise ValueError("a part's head is too long")
        return found

    def is_next(self, mark: bytes) -> bool:
        """Whether the mark comes next; it is not passed over."""
        while len(self._buffer) < len(mark):
            self._read_on(0)
        return self._buffer.startswith(mark)

    def _read_on(self, done: int) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            raise ValueError("the end came too early")
        self._buffer = self._buffer[done:] + piece
