"""Read mammograms from DICOM files (PS3.10).

pydicom reads the elements, only those in `_ELEMENTS`: nothing else of a header gets any further, and no error quotes
one. pydicom is not made for hostile files: the number of reads is limited, which ends endless headers, and values that
would become long lists are read as bytes.
"""

import logging
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Literal

import cv2
import numpy as np
import pydicom.config
from pydicom import encaps
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from shared.errors import ImageError, ImageTooLarge, UndecodableImage, UnsuitableKind, UnsupportedImage
from shared.imaging.formats import codecs, dicom_metadata, stored_values
from shared.imaging.formats.depth import counts
from shared.imaging.formats.dicom_elements import InvalidElement, or_default, spacing_of, value_of, whole_of
from shared.imaging.formats.dicom_metadata import laterality_of, metadata_of, refuse_unsuitable, view_of
from shared.imaging.formats.stored_values import greyscale_of, presets_of
from shared.imaging.image import Image, ImageHeader, Pixels, check_size, unsigned

# Its warnings quote the values that it finds odd, which may be a patient's.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", module="pydicom")
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE

MAX_READS = 60_000
"""Reads that a header and its fragments may take; a long header takes some thousand."""
MAX_INFLATED = 128 * 2**20
"""Bytes of a deflated file: 60 million pixels of 16 bits."""
MAX_SPARE = 64
"""Bytes behind the pixels that are passed over (PS3.5 8.1.1 lets writers pad); more are a wrong size."""
_UNDEFINED = 0xFFFFFFFF

_ELEMENTS = [
    *(0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011),  # samples, photometric, frames, rows, columns
    *(0x00280100, 0x00280101, 0x00280102),  # bits allocated, stored, high bit
    *(0x00181164, 0x00182010, 0x00280030),  # spacing
    *(*stored_values.TAGS, *dicom_metadata.TAGS),
]
_IMPLICIT, _EXPLICIT, _BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
NATIVE = {_IMPLICIT, _EXPLICIT, DEFLATED, _BIG_ENDIAN}
_RUN_LENGTHS = "1.2.840.10008.1.2.5"
_WHOLE_WORDS = {*NATIVE, _RUN_LENGTHS}
"""Transfer syntaxes whose words have bits around the value, which codecs of values leave out (PS3.5 8.1.1, annex G)."""
_CODECS: dict[str, codecs.FrameDecoder] = {
    _RUN_LENGTHS: codecs.run_lengths,
    **{f"1.2.840.10008.1.2.4.{number}": codecs.jpeg for number in (50, 51, 57, 70)},
    **{f"1.2.840.10008.1.2.4.{number}": codecs.jpeg_ls for number in (80, 81)},
    **{f"1.2.840.10008.1.2.4.{number}": codecs.jpeg_2000 for number in (90, 91, 201, 202, 203)},
}


class _BoundedReader(BytesIO):
    """A file in memory that limits the number of reads.

    A read that the end of the file cuts short raises EOFError; one at the end returns nothing.
    """

    remaining_reads = MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self.remaining_reads -= 1
        if self.remaining_reads < 0:
            raise UndecodableImage("the DICOM has too many elements; send the film as exported by the archive")
        data = super().read(size)
        if size is not None and data and len(data) < size:
            raise EOFError
        return data


@dataclass(frozen=True, eq=False)
class DicomFile:
    """A parsed file: its elements, and the place of its pixels.

    `start` counts in the (inflated) bytes, and is None without pixels; `length` is _UNDEFINED where they are wrapped
    into fragments; `notes` grows while the file is read.
    """

    elements: Dataset
    sop_class: str
    syntax: str
    reader: _BoundedReader
    start: int | None
    length: int
    order: Literal["<", ">"]
    notes: list[str]


def read(data: bytes, least_edge: int | None) -> Image:
    """Decode a DICOM file with a single grey frame; `least_edge` as in `decode`.

    Raises:
        UnsupportedImage: its kind or transfer syntax is not read.
        UndecodableImage: it is truncated or corrupt.
        ImageTooLarge: it has more than MAX_PIXELS.
    """
    with _undamaged():
        return _image(parsed(data), least_edge)


def read_header(data: bytes) -> ImageHeader:
    """Read the header of a DICOM file of one grey frame.

    Raises:
        ImageError: as `read`, as far as the header shows it.
    """
    with _undamaged():
        file = parsed(data)
        size = whole_of(file.elements, 0x00280011), whole_of(file.elements, 0x00280010)
        check_size(*size)
        return ImageHeader(
            "DICOM",
            size,
            spacing=spacing_of(file.elements, []),
            laterality=laterality_of(file.elements),
            view=view_of(file.elements),
            metadata=metadata_of(file.elements, file.sop_class),
        )


def read_elements(data: bytes, tags: list[int]) -> Dataset:
    """Read chosen elements of any DICOM file in front of its pixels.

    Raises:
        ImageError: the file is damaged, or its transfer syntax is not supported.
    """
    with _undamaged():
        return _opened(data, tags).elements


@contextmanager
def _undamaged() -> Iterator[None]:
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception:  # noqa: BLE001  pydicom raises whatever it stumbles over, and quotes the file in it
        raise UndecodableImage("the DICOM is truncated or corrupt; send the file again") from None


def parsed(data: bytes, more: Sequence[int] = ()) -> DicomFile:
    """Parse a file of one mammogram; `more` are elements that the image does not need.

    Raises:
        ImageError: it holds no such image. pydicom's own errors pass.
    """
    file = _opened(data, [*_ELEMENTS, *more])
    refuse_unsuitable(file.elements, file.sop_class)
    if file.start is None:
        raise UnsupportedImage("the DICOM contains no image with integer pixels; send one mammogram")
    return file


def _opened(data: bytes, tags: list[int]) -> DicomFile:
    reader, notes = _BoundedReader(data), []
    mark = data[:132].rfind(b"DICM")
    reader.seek(mark + 4 if mark in {0, 128} else 0)
    if mark != 128:
        notes.append("The file has no preamble (PS3.10).")
    meta = read_dataset(reader, False, True, stop_when=lambda tag, _vr, _length: tag >> 16 != 2)
    syntax = str(value_of(meta, 0x00020010) or "")
    if not syntax:
        # An explicit data set names the type of its first element in two capitals.
        explicit = data[reader.tell() + 4 : reader.tell() + 6].isalpha()
        syntax = _EXPLICIT if explicit else _IMPLICIT
        notes.append("The file does not state its transfer syntax.")
    if syntax not in NATIVE and syntax not in _CODECS:
        raise UnsupportedImage("the DICOM's transfer syntax is unsupported; send it uncompressed")
    if syntax == DEFLATED:
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        reader = _BoundedReader(inflate.decompress(reader.read(), MAX_INFLATED))
        if inflate.unconsumed_tail:
            raise ImageTooLarge(f"the DICOM inflates to more than {MAX_INFLATED >> 20} MB; send it uncompressed")
    pixels: list[tuple[int, int]] = []

    def at_pixels(tag: BaseTag, _vr: str | None, length: int) -> bool:
        if tag == 0x7FE00010:
            pixels.append((reader.tell(), length))
        # In front of them stand the length of their group and the Extended Offset Table; floating-point pixels end it.
        return int(tag) >= 0x7FE00008

    order: Literal["<", ">"] = ">" if syntax == _BIG_ENDIAN else "<"
    selected: list[BaseTag | int] = [BaseTag(tag) for tag in tags]
    elements = read_dataset(reader, syntax == _IMPLICIT, order == "<", stop_when=at_pixels, specific_tags=selected)
    sop_class = str(value_of(elements, 0x00080016) or value_of(meta, 0x00020002) or "")
    start, length = pixels[0] if pixels else (None, 0)
    return DicomFile(elements, sop_class, syntax, reader, start, length, order, notes)


def _image(file: DicomFile, least_edge: int | None) -> Image:
    elements, notes = file.elements, file.notes
    frames = or_default(notes, lambda: whole_of(elements, 0x00280008, 1), 1)
    if frames > 1:
        raise UnsuitableKind(
            f"the DICOM has {frames} frames; send one two-dimensional mammogram, no tomosynthesis", "tomosynthesis"
        )
    photometric = str(value_of(elements, 0x00280004) or "").strip().upper()
    if not photometric:
        raise InvalidElement(0x00280004)
    if whole_of(elements, 0x00280002, 1) != 1 or photometric not in {"MONOCHROME1", "MONOCHROME2"}:
        raise UnsupportedImage("the DICOM is not greyscale; send one greyscale mammogram")
    width, height = whole_of(elements, 0x00280011), whole_of(elements, 0x00280010)
    check_size(width, height)
    allocated = whole_of(elements, 0x00280100)
    stored = whole_of(elements, 0x00280101, allocated)
    high_bit = whole_of(elements, 0x00280102, stored - 1)
    if allocated not in {8, 16}:
        raise UnsupportedImage(f"the DICOM has {allocated} bits allocated per pixel, not 8 or 16; send it with 16")
    if not 1 <= stored <= high_bit + 1 <= allocated:
        raise UndecodableImage("the DICOM's bits allocated, stored and high bit disagree; send the file again")

    if file.syntax in NATIVE:
        words, times = native_words(file), 0
    else:
        words, times = _CODECS[file.syntax](frame_of(file), (width, height), allocated, least_edge)
    inverted = photometric == "MONOCHROME1"
    high = high_bit if file.syntax in _WHOLE_WORDS else None
    greyscale = greyscale_of(elements, file.order, notes, bits=stored, high_bit=high, inverted=inverted)
    levels = greyscale.levels(counts(words))
    spacing = spacing_of(elements, notes)
    windows = presets_of(elements, levels)
    metadata = metadata_of(elements, file.sop_class)
    return Image(
        unsigned(cv2.LUT(words, levels.table)),
        levels.bits,
        format="DICOM",
        reduction=2**times,
        frame=(width, height) if times else None,
        spacing=spacing,
        laterality=laterality_of(elements),
        view=view_of(elements),
        metadata=replace(metadata, windows=windows, notes=(*metadata.notes, *dict.fromkeys(notes))),
    )


def native_words(file: DicomFile) -> Pixels:
    """Return the words (H x W) of an uncompressed image as they are stored.

    Raises:
        ImageError: they are truncated, or too many.
    """
    allocated = whole_of(file.elements, 0x00280100)
    width, height = whole_of(file.elements, 0x00280011), whole_of(file.elements, 0x00280010)
    file.reader.seek(file.start or 0)
    expected = width * height * allocated // 8
    if file.length == _UNDEFINED:
        raise UndecodableImage(
            "the DICOM's transfer syntax is uncompressed but its pixels are compressed; send it again"
        )
    spare = file.length - expected
    if not 0 <= spare <= MAX_SPARE:
        raise UndecodableImage(f"the DICOM has {file.length} bytes of pixels instead of {expected}; send it again")
    if spare > expected % 2:
        file.notes.append(f"Ignored extra bytes after the pixels: {spare}.")
    start = file.reader.tell()
    samples = file.reader.getbuffer()[start : start + expected]
    if len(samples) < expected:
        raise UndecodableImage(f"the DICOM has {len(samples)} bytes of pixels instead of {expected}; send it again")
    if allocated == 8 and file.order == ">":
        raise UnsupportedImage(
            "the DICOM has 8-bit pixels in big-endian words; send it in a little-endian transfer syntax"
        )
    return unsigned(np.frombuffer(samples, f"{file.order}u{allocated // 8}").reshape(height, width))


def frame_of(file: DicomFile) -> bytes:
    """Join the fragments of the one compressed frame, whatever the offset table says."""
    file.reader.seek(file.start or 0)
    if file.length != _UNDEFINED:
        raise UndecodableImage("the DICOM's transfer syntax is compressed but its pixels are not; send it again")
    encaps.parse_basic_offsets(file.reader)
    return b"".join(encaps.generate_fragments(file.reader))
