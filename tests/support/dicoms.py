"""Writes DICOM files for tests with pydicom: generated pixels, a made-up patient, any of the transfer syntaxes."""

import io
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite

Words = npt.NDArray[Any]

SECRET = "SECRETNAME^MARY"
NATIVE = {
    "implicit": uid.ImplicitVRLittleEndian,
    "explicit": uid.ExplicitVRLittleEndian,
    "big endian": uid.ExplicitVRBigEndian,
    "deflated": uid.DeflatedExplicitVRLittleEndian,
}


def run_lengths(pixels: Words) -> bytes:
    """DICOM's RLE: a header of 16 words, then the planes of bytes, the highest first, each packed."""
    size = pixels.itemsize
    planes = pixels.astype(pixels.dtype.newbyteorder(">")).view(np.uint8).reshape(-1, size).T
    segments = [imagecodecs.packbits_encode(plane.tobytes()) for plane in planes]
    segments = [segment + bytes(len(segment) % 2) for segment in segments]
    starts = 64 + np.cumsum([0, *(len(segment) for segment in segments[:-1])])
    header = np.zeros(16, "<u4")
    header[0], header[1 : size + 1] = size, starts
    return header.tobytes() + b"".join(segments)


def jpeg(pixels: Words, **options: Any) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(pixels, colorspace="gray", **options))


LOSSLESS: dict[str, tuple[str, Callable[[Words], bytes]]] = {
    "RLE": (uid.RLELossless, run_lengths),
    "JPEG lossless SV1": (
        uid.JPEGLosslessSV1,
        lambda pixels: jpeg(pixels, lossless=True, predictor=1, bitspersample=12),
    ),
    "JPEG lossless": (uid.JPEGLossless, lambda pixels: jpeg(pixels, lossless=True, predictor=6, bitspersample=16)),
    "JPEG-LS": (uid.JPEGLSLossless, lambda pixels: bytes(imagecodecs.jpegls_encode(pixels))),
    "JPEG 2000 lossless": (
        uid.JPEG2000Lossless,
        lambda pixels: bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True, bitspersample=12)),
    ),
    "HTJ2K lossless": (uid.HTJ2KLossless, lambda pixels: bytes(imagecodecs.htj2k_encode(pixels, reversible=True))),
}
"""Transfer syntax and encoder of 12-bit pixels in words of 16."""

LOSSY: dict[str, tuple[str, Callable[[Words], bytes]]] = {
    "JPEG baseline": (uid.JPEGBaseline8Bit, lambda pixels: jpeg(pixels, level=95)),
    "JPEG extended": (uid.JPEGExtended12Bit, lambda pixels: jpeg(pixels, level=95, bitspersample=12)),
    "JPEG-LS near": (uid.JPEGLSNearLossless, lambda pixels: bytes(imagecodecs.jpegls_encode(pixels, level=2))),
    "JPEG 2000": (
        uid.JPEG2000,
        lambda pixels: bytes(imagecodecs.jpeg2k_encode(pixels, level=60, codecformat="j2k", reversible=False)),
    ),
}


def dicom(
    pixels: Words, syntax: str = uid.ExplicitVRLittleEndian, frame: bytes | None = None, **elements: Any
) -> bytes:
    """A file of one film: `frame` if it is compressed, otherwise the pixels as they are. `elements` are added by their
    keyword, None takes one away."""
    data = Dataset()
    data.SOPClassUID = uid.DigitalMammographyXRayImageStorageForPresentation
    data.SOPInstanceUID = "1.2.3.4"
    data.PatientName, data.PatientID, data.Modality = SECRET, SECRET, "MG"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8 * pixels.itemsize
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    data.HighBit = elements.get("HighBit", data.BitsStored - 1)
    for keyword in [keyword for keyword, value in elements.items() if value is None]:
        delattr(data, keyword)
    if "PixelData" not in elements:
        order = ">" if syntax == uid.ExplicitVRBigEndian else "<"
        stored = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
        data.PixelData = encapsulate([frame]) if frame is not None else stored + bytes(len(stored) % 2)
        data["PixelData"].VR = "OB" if frame is not None or pixels.itemsize == 1 else "OW"
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = uid.UID(syntax)
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    file = io.BytesIO()
    meta = data.file_meta
    del data.file_meta
    dcmwrite(file, FileDataset(file, data, file_meta=meta, preamble=bytes(128)), enforce_file_format=True)
    return file.getvalue()


def table(first: int, values: Words, bits: int, signed: bool = False, entries: int | None = None) -> Dataset:
    """An item of a look-up table; `entries` is how many it says that it has."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if signed else "US", [entries or len(values), first, bits])
    item.add_new("LUTData", "OW", values.astype("<u2").tobytes())
    return item
