"""`mammo augment`: a recipe to begin with, its schema, and a drawing of what it makes of a film."""

import json
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest

from shared.datasets.mias import lesions_near
from shared.domain.records import Label
from shared.errors import DatasetError, ImageError, InputError
from shared.imaging.formats.decode import encode_pgm
from shared.modelling.profiles import PROFILES
from shared.modelling.recipes import AugmentationRecipe, read_augmentation
from tests.support.commands import mammo


@pytest.fixture
def film(tmp_path: Path) -> Path:
    pixels = np.zeros((128, 96), np.uint8)
    cv2.circle(pixels, (50, 40), 30, 150, cv2.FILLED)
    file = tmp_path / "mdb001.pgm"
    file.write_bytes(encode_pgm(pixels))
    return file


class TestAugmenting:
    def test_a_recipe_is_printed_in_the_form_that_it_is_read_in(self, tmp_path: Path) -> None:
        file = tmp_path / "mine.json"
        file.write_text(mammo("augment", "--profile", "demo"))
        assert read_augmentation(file.read_bytes(), str(file)) == PROFILES["demo"].augmentation
        assert mammo("augment", "--recipe", str(file)) == file.read_text()

    def test_the_schema_takes_what_is_a_recipe_and_refuses_what_is_none(self) -> None:
        schema = json.loads(mammo("augment", "--schema"))
        recipe = json.loads(PROFILES["full"].augmentation.model_dump_json())
        jsonschema.validate(recipe, schema)
        for wrong in ({"zoom": 2}, {"variants": 0}, {"elastic": 0.1}, {"name": "a/b"}):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate({**recipe, **wrong}, schema)
        assert all("description" in schema["properties"][field] for field in ("rotation_deg", "elastic", "variants"))

    def test_a_sheet_of_a_film_is_drawn_by_a_recipe_of_ones_own(self, film: Path, tmp_path: Path) -> None:
        recipe, out = tmp_path / "mine.toml", tmp_path / "drawn.png"
        recipe.write_text('name = "mine"\nvariants = 5\n')
        said = mammo("augment", "--preview", str(film), "--recipe", str(recipe), "--out", str(out))
        assert f"5 of 5 variants of recipe {AugmentationRecipe(name='mine', variants=5).id}" in said
        assert cv2.imread(str(out)) is not None

    def test_lesions_are_those_of_the_info_beside_the_film_or_above_it(self, film: Path) -> None:
        assert lesions_near(film, 96, 128) == ()
        info = "mdb001 G CIRC B 50 88 30\nmdb001 G CALC M\nmdb002 G NORM\n"
        for folder in (film.parent, film.parent.parent):
            (folder / "Info.txt").write_text(info)
            circle, calcifications = lesions_near(film, 96, 128)
            assert (circle.x, circle.y, circle.radius, circle.label) == (50, 128 - 88, 30, Label.BENIGN)
            assert calcifications.x is None
            (folder / "Info.txt").unlink()
        (film.parent / "Info.txt").write_text(info)
        with pytest.raises(DatasetError, match="outside film"):
            lesions_near(film, 40, 128)

    def test_what_is_wrong_with_a_call_is_told_and_nothing_is_drawn(self, film: Path, tmp_path: Path) -> None:
        out = tmp_path / "drawn.png"
        broken = tmp_path / "broken.pgm"
        broken.write_bytes(film.read_bytes()[:-1])
        for arguments, error, advice in (
            (("--preview", "/no/such/film.png"), InputError, "check the path"),
            (("--preview", str(broken)), ImageError, "send the file again"),
            (("--preview", str(film), "--recipe", "/no/such.toml"), InputError, "check the path"),
        ):
            with pytest.raises(error, match=advice):
                mammo("augment", *arguments, "--out", str(out))
        assert not out.exists()
        with pytest.raises(InputError, match="--out"):
            mammo("augment", "--preview", str(film), "--out", "/no/such/folder/x.png")
