"""A film's record from what its row says and what its file says; which of them counts is the data set's choice."""

import hashlib

import numpy as np
import pytest

from shared.datasets.entries import FilmEntry, check_film
from shared.datasets.files import SourceFile
from shared.datasets.problems import SourceProblem
from shared.domain.lesions import Lesion
from shared.domain.records import Label
from shared.errors import DatasetError
from shared.imaging.formats.decode import encode_pgm, encode_png
from tests.support.dicoms import LOSSLESS, dicom

PIXELS = np.random.default_rng(1).integers(0, 4096, (48, 64), np.uint16)
FILE = SourceFile("a.dcm", 1, 0.0)


def entry(**changes: object) -> FilmEntry:
    known: dict[str, object] = {"id": "a", "patient": "p1", "label": Label.NORMAL, "file": FILE, "where": "table:2"}
    return FilmEntry(**{**known, **changes})


def film_file(**elements: object) -> bytes:
    known = {"ImageLaterality": "L", "ViewPosition": "CC", "PixelSpacing": [0.07, 0.08], "Manufacturer": "HOLOGIC"}
    return dicom(PIXELS, BitsStored=12, **{**known, **elements})


class TestCheckFilm:
    def test_what_the_row_leaves_open_is_read_from_the_header(self) -> None:
        data = film_file()
        film, problems = check_film(entry(exam="e1", group="site 1", official_split="test"), data)
        assert (film.side, film.view, film.spacing, film.vendor) == ("left", "CC", (0.07, 0.08), "Hologic")
        assert (film.acquisition, film.format, film.width, film.height) == ("digital", "DICOM", 64, 48)
        assert (film.exam, film.group, film.official_split) == ("e1", "site 1", "test")
        assert film.sha256 == hashlib.sha256(data).hexdigest()
        assert problems == ()

    @pytest.mark.parametrize(("header_wins", "side", "view"), [(False, "right", "MLO"), (True, "left", "CC")])
    def test_where_row_and_header_disagree_one_of_them_counts_and_it_is_said(
        self, header_wins: bool, side: str, view: str
    ) -> None:
        film, problems = check_film(entry(side="right", view="MLO"), film_file(), header_wins=header_wins)
        assert (film.side, film.view) == (side, view)
        winner = "header" if header_wins else "table"
        assert problems == (
            SourceProblem(
                "header disagrees", "table:2", f"side right by the table, left by the header; the {winner} counts"
            ),
            SourceProblem(
                "header disagrees", "table:2", f"view MLO by the table, CC by the header; the {winner} counts"
            ),
        )

    def test_a_lesion_is_cut_at_the_edges_of_its_film_and_one_outside_has_no_place(self) -> None:
        lesions = [Lesion.of_box("mass", Label.BENIGN, box) for box in ((60, 40, 70, 50), (70, 1, 80, 9), (1, 2, 3, 4))]
        film, problems = check_film(entry(label=Label.BENIGN, lesions=lambda *_: tuple(lesions)), film_file())
        cut, gone, whole = film.lesions
        assert (cut.outline, gone.outline, whole) == (((60, 40), (64, 40), (64, 48), (60, 48)), None, lesions[2])
        assert [problem.kind for problem in problems] == ["lesion outside the image"] * 2

    def test_a_film_of_which_neither_knows_the_side_is_refused(self) -> None:
        with pytest.raises(DatasetError, match=r"table:2: film a has no side"):
            check_film(entry(), film_file(ImageLaterality=None))

    def test_a_form_that_numbers_its_films_takes_no_dicom(self) -> None:
        with pytest.raises(DatasetError, match=r"a\.dcm: is DICOM, .*--table"):
            check_film(entry(side="left", formats=frozenset(("PGM",))), film_file())
        assert check_film(entry(side="left", formats=frozenset(("PGM",))), encode_pgm(PIXELS, 12)).film.bits == 12

    def test_a_lesion_may_be_less_severe_than_its_film_and_not_more(self) -> None:
        benign = Lesion.of_box("mass", Label.BENIGN, (1, 2, 3, 4))
        assert check_film(
            entry(side="left", label=Label.MALIGNANT, lesions=lambda *_: (benign,)), film_file()
        ).film.lesions
        with pytest.raises(DatasetError, match="film a is normal here but has a lesion that is benign"):
            check_film(entry(side="left", lesions=lambda *_: (benign,)), film_file())

    def test_lesions_and_record_are_of_the_full_frame_though_a_large_film_is_reduced(self) -> None:
        pixels = np.random.default_rng(1).integers(0, 4096, (2048, 2304), np.uint16)
        syntax, encode = LOSSLESS["JPEG 2000 lossless"]
        seen: list[tuple[int, int]] = []

        def lesions(width: int, height: int) -> tuple[Lesion, ...]:
            seen.append((width, height))
            return ()

        large = dicom(pixels, syntax, encode(pixels), BitsStored=12)
        assert len(large) > 2**20
        film = check_film(entry(side="left", lesions=lesions), large).film
        assert (film.width, film.height, film.bits, seen) == (2304, 2048, 12, [(2304, 2048)])

    def test_an_image_that_is_none_is_named(self) -> None:
        with pytest.raises(DatasetError, match=r"a\.dcm: the PNG ends"):
            check_film(entry(side="left"), encode_png(PIXELS)[:-30])
