"""Images of rows: a path begins at a folder, so that no row gets the image of another patient."""

from pathlib import Path

import pytest

from shared.datasets.files import FolderFiles, SourceFile
from shared.datasets.mapping import Files
from shared.datasets.matching import Headers, match_rows
from shared.datasets.rows import Row


def images_of_row(path: str, row: dict[str, str], *names: str) -> list[str]:
    """The names of the images that a row gets."""
    images = [SourceFile(name, 1, 0) for name in names]
    found = match_rows([Row("t.csv:2", row)], images, Headers(FolderFiles(Path())), Files(path=path))
    return [match.file.name for match in found if match.rows and match.file]


class TestMatchRows:
    @pytest.mark.parametrize("top", ["", "set/", "set/part/"])
    @pytest.mark.parametrize(
        ("path", "own", "other"),
        [
            ("{patient}/LCC.dcm", "2/LCC.dcm", "12/LCC.dcm"),
            ("{patient}_*.dcm", "2_LCC.dcm", "12_LCC.dcm"),
            ("/{patient}/LCC.dcm", "2/LCC.dcm", "12/LCC.dcm"),
        ],
    )
    def test_a_number_that_ends_another_one_is_not_taken_for_it(
        self, top: str, path: str, own: str, other: str
    ) -> None:
        assert images_of_row(path, {"patient": "2"}, f"{top}{own}", f"{top}{other}") == [f"{top}{own}"]

    @pytest.mark.parametrize("path", ["{film}", "*/{film}", "*{film}"])
    def test_the_name_alone_is_found_in_every_folder(self, path: str) -> None:
        assert images_of_row(path, {"film": "a.dcm"}, "x/a.dcm", "x/y/a.dcm", "x/b.dcm") == ["x/a.dcm", "x/y/a.dcm"]

    def test_a_name_may_begin_with_a_wildcard(self) -> None:
        names = ("2/L_CC.dcm", "2/R_CC.dcm", "12/L_CC.dcm")
        assert images_of_row("{patient}/*_CC.dcm", {"patient": "2"}, *names) == ["2/L_CC.dcm", "2/R_CC.dcm"]
