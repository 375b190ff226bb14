"""Generated exams as a table: what is read, and errors that name the file and the line."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from shared.datasets.entries import read_manifest
from shared.datasets.mias import Source
from shared.datasets.sources import open_source
from shared.datasets.synthetic import write_dataset
from shared.datasets.table import FILMS, LESIONS, TableSource
from shared.domain.films import Film
from shared.domain.lesions import Lesion
from shared.domain.records import Label
from shared.errors import DatasetError
from shared.imaging.formats.decode import encode_pgm

HEADER = "film,file,patient,exam,side,view,acquisition,vendor,density,label,synthetic"
ROW = "a_L_CC,films/a.pgm,p1,e1,left,CC,digital,phantom,G,malignant,yes"
OTHER = "a_R_CC,films/b.pgm,p1,e1,right,,,,G,normal,yes"
LESION_HEADER = "film,kind,label,x,y,radius"
UNKNOWN = dict.fromkeys(("spacing", "group", "official_split"))
LESION = "a_L_CC,SPIC,malignant,20.5,10,5"


def write(folder: Path, films: Iterable[str] = (ROW, OTHER), lesions: Iterable[str] = (LESION,)) -> Path:
    (folder / "films").mkdir(exist_ok=True)
    for name in "ab":
        pixels = np.full((48, 64), 3000 + ord(name), np.uint16)
        (folder / "films" / f"{name}.pgm").write_bytes(encode_pgm(pixels, 12 if name == "a" else 13))
    (folder / FILMS).write_text("\n".join((HEADER, *films)) + "\n")
    (folder / LESIONS).write_text("\n".join((LESION_HEADER, *lesions)) + "\n")
    return folder


def read(folder: Path) -> list[Film]:
    return list(read_manifest(open_source(folder), "exams").films)


class TestTable:
    def test_a_film_has_all_that_its_row_and_its_lesions_say(self, tmp_path: Path) -> None:
        first, second = read(write(tmp_path))
        assert (first.id, first.patient, first.side, first.label) == ("a_L_CC", "p1", "left", Label.MALIGNANT)
        exposure = {"view": "CC", "exam": "e1", "acquisition": "digital", "vendor": "phantom", "bits": 12}
        assert first.exposure == {**exposure, **UNKNOWN}
        assert first.lesions == (Lesion(kind="SPIC", label=Label.MALIGNANT, x=20.5, y=10, radius=5),)
        assert (first.width, first.height) == (64, 48)
        exposure = {"view": None, "exam": "e1", "acquisition": None, "vendor": None, "bits": 13}
        assert second.exposure == {**exposure, **UNKNOWN}

    def test_a_folder_with_a_table_is_read_as_such_and_another_as_mias(self, tmp_path: Path) -> None:
        write_dataset(tmp_path / "mias", 1)
        assert isinstance(open_source(tmp_path / "mias"), Source)
        (tmp_path / "table").mkdir()
        assert isinstance(open_source(write(tmp_path / "table")), TableSource)

    def test_a_byte_order_mark_and_an_empty_line_are_no_harm(self, tmp_path: Path) -> None:
        table = write(tmp_path) / FILMS
        table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes() + b"\n")
        assert len(read(tmp_path)) == 2

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            (OTHER.replace("right", "middle"), r"films\.csv:3: column 'side'"),
            (OTHER.replace("normal", "fine"), r"films\.csv:3: column 'label'"),
            (OTHER.replace("films/b", "../b"), r"films\.csv:3: column 'file'"),
            (OTHER.replace("films/b", "/b"), r"films\.csv:3: column 'file'"),
            (OTHER.replace("a_R_CC", "a/R"), r"films\.csv:3: column 'film'"),
            (OTHER + ",more", r"films\.csv:3: column 'more'"),
            (OTHER.removesuffix(",yes"), r"films\.csv:3: only generated films"),
            (OTHER.replace("yes", "no"), r"films\.csv:3: only generated films"),
            (OTHER.replace("p1", "p2"), r"films\.csv:3: exam e1 has films of two patients"),
            (OTHER.replace("a_R_CC", "a_L_CC"), r"films\.csv:3: film a_L_CC has another row, \S+films\.csv:2"),
            (OTHER.replace("films/b", "films/c"), r"films\.csv:3: film a_R_CC has no image; add films/c\.pgm"),
        ],
    )
    def test_a_row_that_is_wrong_is_named_with_its_line(self, tmp_path: Path, row: str, message: str) -> None:
        with pytest.raises(DatasetError, match=message):
            read(write(tmp_path, (ROW, row)))

    @pytest.mark.parametrize(
        ("lesion", "message"),
        [
            (LESION.replace("a_L_CC", "a_L_MLO"), r"lesions\.csv:2: film a_L_MLO has no row"),
            (LESION.replace("20.5", "70"), r"lesions\.csv:2: \(70, 10\) is outside film a_L_CC, 64 x 48"),
            (LESION.replace("20.5", "left"), r"lesions\.csv:2: column 'x'"),
            (
                LESION.replace("malignant", "benign"),
                r"films\.csv:2: film a_L_CC is malignant here but has a lesion that",
            ),
            (
                LESION.replace("a_L", "a_R"),
                r"films\.csv:3: film a_R_CC is normal here but has a lesion that is malignant",
            ),
        ],
    )
    def test_a_lesion_that_is_wrong_is_named_with_its_line(self, tmp_path: Path, lesion: str, message: str) -> None:
        with pytest.raises(DatasetError, match=message):
            read(write(tmp_path, lesions=(lesion,)))

    def test_a_lesion_may_have_no_place(self, tmp_path: Path) -> None:
        first, _ = read(write(tmp_path, lesions=("a_L_CC,CALC,malignant,,,",)))
        assert first.lesions == (Lesion(kind="CALC", label=Label.MALIGNANT),)

    def test_an_image_that_no_row_names_is_not_passed_over(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match=r"b\.pgm.* films\.csv has no row"):
            read(write(tmp_path, (ROW,)))

    def test_an_image_that_is_none_is_named(self, tmp_path: Path) -> None:
        (write(tmp_path) / "films" / "b.pgm").write_bytes(b"no image")
        with pytest.raises(DatasetError, match=r"films/b\.pgm"):
            read(tmp_path)

    def test_a_table_without_films_and_one_that_is_no_text_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match=r"films\.csv.* holds no film"):
            read(write(tmp_path, (), ()))
        (tmp_path / FILMS).write_bytes(b"\xff\xfe")
        with pytest.raises(DatasetError, match=r"films\.csv.* can't be read as a table"):
            read(tmp_path)
