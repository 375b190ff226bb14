"""Generated exams: four views of both breasts, of both looks, with the truth about each film."""

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from shared.datasets import synthetic_exams
from shared.datasets.entries import read_manifest
from shared.datasets.phantom_views import HEIGHT, VENDOR, ViewFilm
from shared.datasets.sources import open_source
from shared.datasets.synthetic import label_of
from shared.datasets.synthetic_exams import Exposed, draw_exposure, exposures, write_exams
from shared.domain.films import Film, Manifest
from shared.domain.records import Label
from shared.imaging.segmentation.segment import segment
from tests.support.films import exposure_of

WOMEN, SEED = 8, 7


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written of the films that `drawn` holds, which are not drawn twice."""
    folder = tmp_path_factory.mktemp("exams") / "new"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic_exams, "draw_exposure", exposure_of)
        write_exams(folder, WOMEN, SEED)
    return folder


@pytest.fixture(scope="module")
def manifest(folder: Path) -> Manifest:
    return read_manifest(open_source(folder), "synthetic")


@pytest.fixture(scope="module")
def drawn() -> dict[str, ViewFilm]:
    return {exposed.film: exposure_of(exposed, SEED) for exposed in exposures(WOMEN)}


def of_look(manifest: Manifest, acquisition: str) -> list[Film]:
    return [film for film in manifest.films if film.acquisition == acquisition]


class TestWriteExams:
    def test_exams_have_four_views_one_taken_twice_and_one_missing_in_eight(self, manifest: Manifest) -> None:
        views = defaultdict(list)
        for film in manifest.films:
            views[film.patient].append((film.side, film.view))
        four = Counter({(side, view): 1 for side in ("left", "right") for view in ("CC", "MLO")})
        assert Counter(views["p003"]) == four + Counter([("right", "MLO")])
        assert Counter(views["p006"]) == four - Counter([("left", "CC")])
        for patient in set(views) - {"p003", "p006"}:
            assert Counter(views[patient]) == four, patient
        assert {film.exam for film in manifest.films} == {f"e{woman:03d}" for woman in range(1, WOMEN + 1)}

    def test_the_films_of_a_breast_have_its_label_and_a_patient_its_density(self, manifest: Manifest) -> None:
        for film in manifest.films:
            assert film.label is label_of(2 * int(film.patient[1:]) - (film.side == "right"))
        assert len({(film.patient, film.density) for film in manifest.films}) == WOMEN
        assert {film.label for film in manifest.films} == set(Label)

    def test_half_of_the_women_have_film_scans_and_half_digital_films(self, manifest: Manifest) -> None:
        by_woman = {film.patient: (film.acquisition, film.bits) for film in manifest.films}
        assert Counter(by_woman.values()) == {("film scan", 8): 4, ("digital", 12): 4}
        assert {film.vendor for film in manifest.films} == {VENDOR}


class TestDrawExposure:
    def test_digital_films_have_a_background_of_exactly_nothing_and_12_bits(
        self, manifest: Manifest, drawn: dict[str, ViewFilm]
    ) -> None:
        for film in of_look(manifest, "digital"):
            truth = drawn[film.id]
            assert truth.pixels.dtype == np.uint16
            assert 2**11 <= truth.pixels.max() < 2**12
            assert (truth.pixels == 0).mean() > 1 / 7, film.id
            assert truth.pixels[truth.breast > 0].min() > 0
            assert np.median(truth.pixels[truth.breast > 0]) < 2**12 / 2

    def test_scans_have_a_background_with_noise_that_the_breast_fades_into(
        self, manifest: Manifest, drawn: dict[str, ViewFilm]
    ) -> None:
        for film in of_look(manifest, "film scan"):
            truth = drawn[film.id]
            assert truth.pixels.dtype == np.uint8
            background = truth.pixels[truth.breast == 0]
            assert 1 < np.median(background) < 20
            assert background.std() > 0.5
            assert truth.pixels[truth.parenchyma > 0].mean() > np.median(background) + 40

    def test_the_wall_is_on_either_side_and_not_bound_to_the_breast(self, drawn: dict[str, ViewFilm]) -> None:
        walls = {(name.split("_")[1], film.wall) for name, film in drawn.items()}
        assert walls == {("L", "left"), ("R", "right"), ("R", "left")}
        for film in drawn.values():
            columns = np.flatnonzero(film.breast.any(axis=0))
            gap = columns[0] if film.wall == "left" else film.breast.shape[1] - 1 - columns[-1]
            assert gap < 16

    def test_muscle_is_on_oblique_views_alone(self, drawn: dict[str, ViewFilm]) -> None:
        for name, film in drawn.items():
            muscle = (film.breast > 0) & (film.parenchyma == 0)
            assert muscle.any() == ("MLO" in name), name
            assert not (film.parenchyma & ~film.breast).any()

    def test_there_are_small_breasts_on_large_frames(self) -> None:
        heights = [
            int(draw_exposure(Exposed(woman, "left", "CC", 1), SEED).breast.any(axis=1).sum())
            for woman in range(17, 25)
        ]
        assert min(heights) < 0.45 * HEIGHT < max(heights)

    def test_lesions_lie_in_the_breast_at_the_same_depth_in_both_views(
        self, manifest: Manifest, drawn: dict[str, ViewFilm]
    ) -> None:
        depths = defaultdict(list)
        for film in manifest.films:
            assert bool(film.lesions) == (film.label is not Label.NORMAL)
            for lesion in film.lesions[:1]:
                truth = drawn[film.id]
                assert lesion.x is not None
                assert lesion.y is not None
                assert truth.parenchyma[round(lesion.y), round(lesion.x)] == 255
                columns = np.flatnonzero(truth.breast.any(axis=0))
                away = lesion.x - columns[0] if truth.wall == "left" else columns[-1] - lesion.x
                depths[film.patient, film.side].append(away / len(columns))
        assert depths
        assert max(max(of_breast) - min(of_breast) for of_breast in depths.values()) < 0.45

    def test_a_film_depends_on_its_seed_and_name_alone(self, folder: Path, tmp_path: Path) -> None:
        seen: list[int] = []
        write_exams(tmp_path, 1, progress=seen.append)
        assert seen == [1, 2, 3, 4]
        for name in ("e001_R_CC", "e001_L_MLO"):
            assert (tmp_path / "films" / f"{name}.pgm").read_bytes() == (folder / "films" / f"{name}.pgm").read_bytes()
        first = Exposed(1, "left", "CC", 1)
        assert not np.array_equal(draw_exposure(first, 8).pixels[:, :600], draw_exposure(first, 7).pixels[:, :600])

    def test_serving_accepts_the_films_and_sees_side_view_and_breast(self, drawn: dict[str, ViewFilm]) -> None:
        for name, film in drawn.items():
            found = segment(film.pixels, film.bits)
            assert found.gate.passed, (name, found.gate)
            assert found.flipped == (film.wall == "right"), name
            assert found.view.name == name.split("_")[2], name
            for mask, truth in ((found.breast, film.breast), (found.mask, film.parenchyma)):
                seen = mask[:, ::-1] if found.flipped else mask
                both = ((seen > 0) & (truth > 0)).sum()
                assert 2 * both / ((seen > 0).sum() + (truth > 0).sum()) > 0.93, name
