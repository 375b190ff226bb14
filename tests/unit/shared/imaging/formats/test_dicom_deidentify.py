"""Films written anew: the same pixels and facts, and nothing of the patient wherever a name was written."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom import dcmread, uid
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.filewriter import dcmwrite

from shared.datasets.pseudonyms import Pseudonyms
from shared.errors import UndecodableImage, UnsuitableKind
from shared.imaging.formats import codecs
from shared.imaging.formats.decode import decode
from shared.imaging.formats.dicom_deidentify import deidentify
from shared.imaging.image import Image
from tests.support.dicoms import LOSSLESS, LOSSY, NATIVE, dicom, run_lengths, table

NAME = "MUSTERMANN"
PIXELS = np.random.default_rng(1).integers(0, 4096, (48, 64), np.uint16)
PSEUDONYMS = Pseudonyms(b"a key of the test")
FACTS: dict[str, Any] = {
    "ImageLaterality": "R",
    "ViewPosition": "MLO",
    "PixelSpacing": [0.07, 0.0705],
    "Manufacturer": "HOLOGIC, Inc.",
    "PresentationIntentType": "FOR PRESENTATION",
    "BitsStored": 12,
    "WindowCenter": [2000, 1800],
    "WindowWidth": [3000.5, 2500],
    "WindowCenterWidthExplanation": ["NORMAL", "HARDER"],
    "PixelPaddingValue": 3,
    "BreastImplantPresent": "NO",
}
TEXTS = {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"}
READ_BY_US = {
    "Modality", "PresentationIntentType", "ConversionType", "PhotometricInterpretation", "ViewPosition", "ImageType",
    "Laterality", "ImageLaterality", "BodyPartExamined", "QualityControlImage", "SpecimenIdentifier",
    "ContainerIdentifier", "BurnedInAnnotation", "ContrastBolusAgent", "ManufacturerModelName",
}  # fmt: skip
"""What a name in them would make another film of; they have a test of their own."""


def rewritten(data: bytes) -> bytes:
    return deidentify(data, "p1", PSEUDONYMS.uid)


def check_same(one: Image, other: Image) -> None:
    assert np.array_equal(one.pixels, other.pixels)
    for fact in ("bits", "spacing", "laterality", "view", "format"):
        assert getattr(one, fact) == getattr(other, fact), fact
    for fact in ("acquisition", "vendor", "implant", "windows", "view_modifiers"):
        assert getattr(one.metadata, fact) == getattr(other.metadata, fact), fact


def planted_in_run_lengths(pixels: npt.NDArray[Any], place: str) -> bytes:
    """Run lengths (PS3.5 annex G) with a name where they hold no pixels."""
    frame = run_lengths(pixels)
    if place == "header":  # in words of segments that there could be
        return frame[:20] + NAME.encode() + frame[20 + len(NAME) :]
    note = bytes((len(NAME) - 1,)) + NAME.encode() if place == "packed behind the rows" else NAME.encode()
    if place != "between segments":
        return frame + note
    second = int.from_bytes(frame[8:12], "little")
    return frame[:8] + (second + len(note)).to_bytes(4, "little") + frame[12:second] + note + frame[second:]


class TestDeidentify:
    @pytest.mark.parametrize("syntax", NATIVE.values(), ids=NATIVE)
    @pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
    def test_an_uncompressed_film_keeps_its_pixels_and_facts(self, syntax: str, photometric: str) -> None:
        data = dicom(PIXELS, syntax, **FACTS, PhotometricInterpretation=photometric)
        check_same(decode(data), decode(rewritten(data)))

    @pytest.mark.parametrize(("syntax", "encode"), [*LOSSLESS.values(), *LOSSY.values()], ids=[*LOSSLESS, *LOSSY])
    def test_a_compressed_film_is_not_compressed_again(self, syntax: str, encode: Any) -> None:
        pixels = (PIXELS >> 4).astype(np.uint8) if syntax == uid.JPEGBaseline8Bit else PIXELS
        facts = {**FACTS, "BitsStored": 8} if pixels.dtype == np.uint8 else FACTS
        data = dicom(pixels, syntax, encode(pixels), **facts)
        check_same(decode(data), decode(rewritten(data)))
        assert dcmread(BytesIO(rewritten(data))).file_meta.TransferSyntaxUID == syntax

    @pytest.mark.parametrize(
        "changes",
        [
            {"ModalityLUTSequence": [table(0, np.arange(4096), 12)], "WindowCenter": None, "WindowWidth": None},
            {"VOILUTSequence": [table(0, np.arange(4096) // 2, 12)]},
            {"RescaleSlope": "2.5", "RescaleIntercept": "-100"},
            {"VOILUTFunction": "SIGMOID"},
            {"ImageType": ["DERIVED", "PRIMARY", "", "GENERATED_2D"]},
            {"SeriesDescription": "L MLO C-View"},
            {"PartialView": "YES"},
            {"EstimatedRadiographicMagnificationFactor": "1.8"},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    @pytest.mark.parametrize("syntax", NATIVE.values(), ids=NATIVE)
    def test_how_values_become_grey_and_what_kind_of_film_it_is_are_kept(
        self, syntax: str, changes: dict[str, Any]
    ) -> None:
        data = dicom(PIXELS, syntax, **{**FACTS, **changes})
        check_same(decode(data), decode(rewritten(data)))

    def test_signed_pixels_stay_signed(self) -> None:
        data = dicom(PIXELS.astype(np.int16) - 2048, **{**FACTS, "BitsStored": 13, "PixelPaddingValue": None})
        check_same(decode(data), decode(rewritten(data)))

    def test_the_views_of_codes_and_their_modifiers_are_kept(self) -> None:
        modifier, view = Dataset(), Dataset()
        modifier.CodeValue, modifier.CodeMeaning = "R-102D6", NAME
        view.CodeValue, view.CodeMeaning, view.ViewModifierCodeSequence = "R-10242", NAME, [modifier]
        data = dicom(PIXELS, **{**FACTS, "ViewPosition": None}, ViewCodeSequence=[view])
        again = rewritten(data)
        check_same(decode(data), decode(again))
        assert decode(again).metadata.view_modifiers == ("magnification",)
        assert NAME.encode() not in again

    def test_no_text_of_any_element_of_private_ones_or_of_overlays_is_left(self) -> None:
        film = dcmread(BytesIO(dicom(PIXELS, **FACTS)))
        planted = 0
        for tag, (kind, _, _, _, keyword) in DicomDictionary.items():
            if kind in TEXTS and keyword not in READ_BY_US and keyword not in FACTS and tag >> 16 not in {0, 2, 0x7FE0}:
                film.add_new(tag, kind, NAME)
                planted += 1
        assert planted > 1000
        block = film.private_block(0x0011, NAME, create=True)
        block.add_new(1, "LO", NAME)
        film.add_new(0x60000010, "US", 8)
        film.add_new(0x60003000, "OB", NAME.encode())
        film.preamble = NAME.encode().ljust(128)
        film.PatientID, film.PatientBirthDate, film.StudyInstanceUID = NAME, "19610203", "1.2.826.0.1.99.77"
        file = BytesIO()
        dcmwrite(file, film)
        again = rewritten(file.getvalue())
        check_same(decode(dicom(PIXELS, **FACTS)), decode(again))
        for secret in (NAME, "19610203", "1.2.826.0.1.99.77"):
            assert secret.encode() in file.getvalue()
            assert secret.encode() not in again
        assert dcmread(BytesIO(again)).PatientID == "p1"

    @pytest.mark.parametrize(
        "keyword", sorted(READ_BY_US - {"PhotometricInterpretation", "Modality", "BodyPartExamined"})
    )
    def test_a_name_in_an_element_that_is_read_is_left_out_too(self, keyword: str) -> None:
        value = ["ORIGINAL", NAME] if keyword == "ImageType" else NAME
        data = dicom(PIXELS, **{**FACTS, keyword: value})
        assert NAME.encode() in data
        assert NAME.encode() not in rewritten(data)

    def test_bits_above_the_pixels_once_an_overlay_and_bytes_behind_them_are_cleared(self) -> None:
        data = dicom(PIXELS | np.uint16(0xA000), **FACTS)
        words = np.frombuffer(dcmread(BytesIO(rewritten(data))).PixelData, "<u2")
        assert np.array_equal(words.reshape(PIXELS.shape), PIXELS)
        spare = dicom(PIXELS, **FACTS, PixelData=PIXELS.tobytes() + NAME.encode())
        assert NAME.encode() not in rewritten(spare)

    @pytest.mark.parametrize("syntax", NATIVE.values(), ids=NATIVE)
    @pytest.mark.parametrize(("high", "below"), [(11, 0), (13, 2)])
    def test_bits_around_signed_pixels_are_cleared_too(self, syntax: str, high: int, below: int) -> None:
        signed = PIXELS.astype(np.int16) - 2048
        facts = {**FACTS, "PixelPaddingValue": None, "HighBit": high}
        clean = signed << below
        overlay = np.random.default_rng(2).integers(0, 2, PIXELS.shape, np.uint16) << (high + 1)
        data = dicom((clean.view(np.uint16) ^ overlay).view(np.int16), syntax, **facts)
        again = rewritten(data)
        check_same(decode(data), decode(again))
        order = ">i2" if syntax == uid.ExplicitVRBigEndian else "<i2"
        words = np.frombuffer(dcmread(BytesIO(again)).PixelData, order)
        assert np.array_equal(words.reshape(PIXELS.shape), clean)

    @pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
    @pytest.mark.parametrize(("high", "below"), [(11, 0), (13, 2)])
    def test_bits_around_the_pixels_of_run_lengths_are_cleared_too(self, signed: bool, high: int, below: int) -> None:
        facts = {**FACTS, "PixelPaddingValue": None, "HighBit": high}
        clean = ((PIXELS.astype(np.int16) - 2048) if signed else PIXELS.astype(np.int16)) << below
        clean = clean if signed else clean.view(np.uint16)
        overlay = np.random.default_rng(2).integers(0, 2, PIXELS.shape, np.uint16) << (high + 1)
        planted = (clean.view(np.uint16) ^ overlay).view(clean.dtype)
        again = rewritten(dicom(planted, uid.RLELossless, run_lengths(planted), **facts))
        check_same(decode(dicom(clean, **facts)), decode(again))
        check_same(decode(dicom(clean, uid.RLELossless, run_lengths(clean), **facts)), decode(again))
        check_same(decode(dicom(planted, uid.RLELossless, run_lengths(planted), **facts)), decode(again))
        frame = get_frame(dcmread(BytesIO(again)).PixelData, 0, number_of_frames=1)
        words, _ = codecs.run_lengths(frame, PIXELS.shape[::-1], 16, None)  # pydicom would mask them
        assert np.array_equal(words.view(clean.dtype), clean)

    @pytest.mark.parametrize("kind", sorted({*LOSSLESS, *LOSSY} - {"RLE"}))
    def test_bytes_behind_the_end_of_a_codestream_are_left_out(self, kind: str) -> None:
        syntax, encode = {**LOSSLESS, **LOSSY}[kind]
        pixels = (PIXELS >> 4).astype(np.uint8) if syntax == uid.JPEGBaseline8Bit else PIXELS
        facts = {**FACTS, "BitsStored": 8} if pixels.dtype == np.uint8 else FACTS
        frame = encode(pixels)
        again = rewritten(dicom(pixels, syntax, frame + NAME.encode(), **facts))
        check_same(decode(dicom(pixels, syntax, frame, **facts)), decode(again))
        assert NAME.encode() not in again

    @pytest.mark.parametrize("kind", ["JPEG lossless SV1", "JPEG-LS", "JPEG 2000 lossless", "HTJ2K lossless"])
    def test_comments_in_a_codestream_are_left_out(self, kind: str) -> None:
        syntax, encode = LOSSLESS[kind]
        frame = encode(PIXELS)
        comment = (2 + len(NAME)).to_bytes(2) + NAME.encode()
        if "2" in kind:
            size = 4 + int.from_bytes(frame[4:6])
            frame = frame[:size] + b"\xff\x64" + comment + frame[size:]
        else:
            frame = frame[:2] + b"\xff\xfe" + comment + b"\xff\xe1" + comment + frame[2:]
        data = dicom(PIXELS, syntax, frame, **FACTS)
        again = rewritten(data)
        check_same(decode(data), decode(again))
        assert NAME.encode() in data
        assert NAME.encode() not in again

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_a_text_in_the_header_of_run_lengths_is_left_out(self, dtype: type[Any]) -> None:
        pixels = (PIXELS >> 4).astype(dtype) if dtype is np.uint8 else PIXELS
        facts = {**FACTS, "BitsStored": 8 * pixels.itemsize}
        data = dicom(pixels, uid.RLELossless, planted_in_run_lengths(pixels, "header"), **facts)
        again = rewritten(data)
        check_same(decode(data), decode(again))
        assert NAME.encode() in data
        assert NAME.encode() not in again
        found = dcmread(BytesIO(again))
        assert found.file_meta.TransferSyntaxUID == uid.RLELossless
        assert np.array_equal(found.pixel_array, pixels)

    @pytest.mark.parametrize("place", ["between segments", "packed behind the rows", "behind the frame"])
    def test_run_lengths_with_more_than_pixels_are_refused(self, place: str) -> None:
        data = dicom(PIXELS, uid.RLELossless, planted_in_run_lengths(PIXELS, place), **FACTS)
        with pytest.raises(UndecodableImage) as refused:
            rewritten(data)
        assert NAME not in str(refused.value)

    def test_uids_change_and_stay_unique_and_the_same_key_gives_the_same_ones(self) -> None:
        one, other = (dicom(PIXELS, **FACTS, SOPInstanceUID=f"1.2.{n}", StudyInstanceUID="1.2.3") for n in (1, 2))
        first, second = (dcmread(BytesIO(rewritten(data))) for data in (one, other))
        assert first.SOPInstanceUID != second.SOPInstanceUID
        assert first.StudyInstanceUID == second.StudyInstanceUID != "1.2.3"
        assert rewritten(one) == rewritten(one)
        assert deidentify(one, "p1", Pseudonyms(b"another key").uid) != rewritten(one)

    def test_a_film_with_annotations_burned_in_is_refused_unless_it_is_wanted(self) -> None:
        data = dicom(PIXELS, **FACTS, BurnedInAnnotation="YES")
        with pytest.raises(UnsuitableKind, match="burned into") as refused:
            rewritten(data)
        assert refused.value.kind == "burned-in-annotation"
        check_same(decode(data), decode(deidentify(data, "p1", PSEUDONYMS.uid, burned_in=True)))

    def test_fragments_of_a_frame_become_one(self) -> None:
        syntax, encode = LOSSLESS["JPEG 2000 lossless"]
        frame = encode(PIXELS)
        data = dicom(PIXELS, syntax, b"", **FACTS, PixelData=encapsulate([frame], fragments_per_frame=3))
        check_same(decode(data), decode(rewritten(data)))

    def test_real_films_decode_to_the_same(self, dicom_films: Path) -> None:
        films = sorted(dicom_films.glob("fodicom_GH133*.dcm"))
        assert films
        for film in films:
            data = film.read_bytes()
            check_same(decode(data), decode(rewritten(data)))
