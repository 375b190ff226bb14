"""Gate, orientation, view and outlines on real films of several sources, held to what a reader needs."""

from collections import defaultdict

import numpy as np
import pytest

from tests.bench.real_films import Judged, judge
from tests.support.film_folders import NEGATIVE, RealFilm

SCANNED = ("cbis", "ddsm")


@pytest.fixture(scope="module")
def judged(labelled_films: list[RealFilm]) -> list[Judged]:
    return [judge(film) for film in labelled_films]


@pytest.fixture(scope="module")
def films(judged: list[Judged]) -> list[Judged]:
    return [film for film in judged if film.film.group != NEGATIVE]


def by_kind(films: list[Judged]) -> dict[str, list[Judged]]:
    kinds = defaultdict(list)
    for film in films:
        kinds["scanned" if film.film.group in SCANNED else "digital"].append(film)
    return kinds


class TestRealFilms:
    def test_films_pass_the_gate_and_other_images_do_not(self, judged: list[Judged]) -> None:
        assert np.mean([not film.refused for film in judged if film.film.group != NEGATIVE]) >= 0.98
        assert [film.film.id for film in judged if film.film.group == NEGATIVE and not film.refused] == []

    def test_side_and_view_are_right(self, films: list[Judged]) -> None:
        assert [film.film.id for film in films if film.side != film.film.side] == []
        assert np.mean([film.view == film.film.view for film in films if film.film.view]) >= 0.97

    @pytest.mark.parametrize(
        ("kind", "breast", "parenchyma"),
        [("digital", (0.992, 0.975), (0.96, 0.88)), ("scanned", (0.965, 0.90), (0.94, 0.86))],
    )
    def test_outlines_agree_with_the_truth(
        self, films: list[Judged], kind: str, breast: tuple[float, float], parenchyma: tuple[float, float]
    ) -> None:
        of_kind = by_kind(films)[kind]
        breasts = [film.breast for film in of_kind if film.breast is not None]
        parenchymas = [film.parenchyma for film in of_kind if film.parenchyma is not None]
        assert np.mean(breasts) >= breast[0]
        assert min(breasts) >= breast[1]
        assert np.mean(parenchymas) >= parenchyma[0]
        assert min(parenchymas) >= parenchyma[1]
