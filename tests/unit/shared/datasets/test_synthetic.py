"""The synthetic data set: readable as MIAS, the same for a seed, with every class and oddity."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from shared.datasets.entries import read_manifest
from shared.datasets.mias import Source, parse_info
from shared.datasets.phantom import EDGE
from shared.datasets.synthetic import draw, label_of, write_dataset
from shared.domain.films import Manifest
from shared.domain.records import CLASSES, Label
from tests.support.films import film_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "new"
    write_dataset(folder, patients=8)
    return folder


@pytest.fixture(scope="module")
def manifest(folder: Path) -> Manifest:
    return read_manifest(Source(folder), "synthetic")


class TestWriteDataset:
    def test_it_is_read_as_mias_and_known_as_synthetic(self, manifest: Manifest) -> None:
        assert manifest.synthetic
        assert [film.id for film in manifest.films] == [f"mdb{number:03d}" for number in range(1, 17)]
        assert {(film.width, film.height) for film in manifest.films} == {(EDGE, EDGE)}

    def test_some_patients_have_one_normal_and_one_abnormal_film(self, manifest: Manifest) -> None:
        labels = {film.patient: {other.label for other in manifest.films if other.patient == film.patient}
                  for film in manifest.films}  # fmt: skip
        assert any(len(of_patient) == 2 for of_patient in labels.values())
        assert {len(of_patient) for of_patient in labels.values()} == {1, 2}

    def test_the_oddities_of_mias_are_there(self, folder: Path) -> None:
        text = (folder / "Info.txt").read_text()
        assert "SYNTHETIC FILMS" in text.splitlines()[0]
        rows = [line.split() for line in text.splitlines() if line.startswith("mdb")]
        assert max(Counter(row[0] for row in rows).values()) == 2
        assert any(row[4:] == ["*NOTE", "3*"] and row[2] == "CALC" for row in rows)
        assert any(row[2] != "NORM" and len(row) == 4 for row in rows)
        assert len(parse_info(text)) == len(rows)

    def test_lesions_lie_where_the_rows_say(self, manifest: Manifest) -> None:
        for number, film in enumerate(manifest.films, 1):
            truth = film_of(number, seed=7)
            for lesion in film.lesions:
                if lesion.x is not None and lesion.y is not None:
                    assert truth.parenchyma[round(lesion.y), round(lesion.x)] == 255
                    assert (lesion.x, lesion.y) in {(drawn.x, drawn.y) for drawn in truth.lesions}


class TestDraw:
    def test_a_film_depends_on_its_seed_and_number_alone(self, folder: Path, tmp_path: Path) -> None:
        seen: list[int] = []
        write_dataset(tmp_path, patients=2, progress=seen.append)
        assert seen == [1, 2, 3, 4]
        for number in seen:
            name = f"mdb{number:03d}.pgm"
            assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
        assert not np.array_equal(draw(1, seed=8).pixels, draw(1, seed=7).pixels)

    @pytest.mark.parametrize("number", range(1, 9))
    def test_a_film_looks_like_one_of_mias(self, number: int) -> None:
        film = film_of(number, seed=3)
        right_breast = number % 2 == 1
        assert film.pixels.dtype == np.uint8
        assert film.pixels.shape == film.breast.shape == film.parenchyma.shape == (EDGE, EDGE)
        # Padding on both sides, the breast against the chest wall, the muscle brighter than the rest.
        wall = np.flatnonzero(film.breast.any(axis=0))[-1 if right_breast else 0]
        assert not (film.pixels[:, wall + 1 :] if right_breast else film.pixels[:, :wall]).any()
        assert not (film.parenchyma & ~film.breast).any()
        muscle = (film.breast > 0) & (film.parenchyma == 0)
        assert film.pixels[muscle].mean() > film.pixels[film.parenchyma > 0].mean() + 20
        assert 0.08 < (film.breast > 0).mean() < 0.6

    def test_the_mass_is_brighter_than_what_surrounds_it(self) -> None:
        numbers = [number for number in range(1, 33) if film_of(number, seed=3).lesions and number != 7]
        for number in numbers:
            film = film_of(number, seed=3)
            lesion = film.lesions[0]
            assert lesion.x is not None
            assert lesion.y is not None
            assert lesion.radius is not None
            y, x = np.mgrid[:EDGE, :EDGE]
            away = np.hypot(x - lesion.x, y - lesion.y)
            inside = film.pixels[(away < 0.3 * lesion.radius) & (film.parenchyma > 0)].mean()
            around = film.pixels[(away > lesion.radius) & (away < 1.4 * lesion.radius) & (film.parenchyma > 0)].mean()
            assert inside > around + 10, number


class TestLabelOf:
    def test_eight_patients_hold_every_class_in_the_promised_mix(self, manifest: Manifest) -> None:
        count = Counter(film.label for film in manifest.films)
        assert count == {Label.NORMAL: 8, Label.BENIGN: 4, Label.MALIGNANT: 4}
        assert [film.label for film in manifest.films] == [label_of(number) for number in range(1, 17)]

    def test_labels_repeat_every_eight_patients(self) -> None:
        assert [label_of(number) for number in range(1, 17)] == [label_of(number) for number in range(17, 33)]
        assert {label_of(number) for number in range(1, 5)} == set(CLASSES)
