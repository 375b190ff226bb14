"""The shipped mappings: what is read of each public data set, and that a dry run finds every planted error."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.datasets.entries import FilmSource, check_film
from shared.datasets.mapping import read_mapping, shipped_mappings
from shared.datasets.sources import open_source
from shared.datasets.survey import Survey, survey
from shared.domain.films import Film
from shared.domain.records import Label
from tests.support import public_sets

WRITERS: dict[str, Callable[[Path], Path]] = {
    "rsna-2023": public_sets.rsna,
    "vindr-mammo": public_sets.vindr,
    "csaw-cc": public_sets.csaw_cc,
    "cbis-ddsm": public_sets.cbis_ddsm,
    "cmmd": public_sets.cmmd,
    "inbreast": public_sets.inbreast,
    "embed": public_sets.embed,
}


def opened(name: str, folder: Path) -> FilmSource:
    return open_source(WRITERS[name](folder), read_mapping(name))


def films_of(source: FilmSource) -> dict[str, Film]:
    checked = [
        check_film(entry, source.files.read(entry.file), header_wins=source.header_wins) for entry in source.entries()
    ]
    return {film.id: film for film, _ in checked}


def wrong(found: Survey) -> dict[str, int]:
    return dict(Counter(problem.kind for problem in found.problems))


class TestPublicSets:
    def test_every_shipped_mapping_is_tried(self) -> None:
        assert sorted(WRITERS) == shipped_mappings()

    @pytest.mark.parametrize("name", WRITERS)
    def test_terms_and_labelling_come_with_the_films(self, tmp_path: Path, name: str) -> None:
        source = opened(name, tmp_path)
        assert source.terms
        assert source.labelling
        assert f"mapping {name}" in source.labelling
        assert source.terms.release_models is (name != "embed")

    def test_rsna(self, tmp_path: Path) -> None:
        source = opened("rsna-2023", tmp_path)
        found = survey(source)
        assert wrong(found) == {
            "unknown value": 1,
            "no label": 1,
            "row without image": 1,
            "image without row": 1,
            "view repeated": 1,
            "image twice": 1,
            "header disagrees": 3,
        }
        assert (found.films, found.patients, found.left_out) == (6, 2, 1)
        assert found.counts["label"] == {"malignant": 2, "benign": 2, "normal": 2}
        assert found.counts["group"] == {"1": 4, "2": 2}
        films = films_of(source)
        assert (films["101"].side, films["101"].view, films["101"].density) == ("left", "CC", "G")
        assert films["201"].density is None
        where = {problem.kind: problem.where for problem in found.problems}
        assert (where["unknown value"], where["row without image"]) == ("train.csv:8", "train.csv:9")
        assert where["image without row"] == "train_images/12/999.dcm"

    def test_vindr(self, tmp_path: Path) -> None:
        source = opened("vindr-mammo", tmp_path)
        found = survey(source)
        assert wrong(found) == {
            "lesion outside the image": 2,
            "patient in both splits": 1,
            "header disagrees": 1,
        }
        assert found.counts["split"] == {"training": 4, "test": 1}
        films = films_of(source)
        assert [films[film].label for film in ("aalcc", "bblcc", "aarcc")] == list(Label)[::-1]
        (box,) = films["aalcc"].lesions
        assert (box.kind, box.label, box.polygon[0], box.polygon[2]) == ("['Mass']", Label.MALIGNANT, (10, 5), (30, 25))
        assert max(x for x, _ in films["aalmlo"].lesions[0].polygon) == public_sets.WIDTH
        assert films["bblcc"].lesions[0].polygon == ()
        assert films["aarcc"].lesions == ()

    def test_csaw_cc(self, tmp_path: Path) -> None:
        source = opened("csaw-cc", tmp_path)
        found = survey(source)
        assert (wrong(found), found.left_out) == ({}, 1)
        films = films_of(source)
        labels = {film: record.label.value for film, record in films.items()}
        assert labels == {
            "00001_20990909_L_CC_1.dcm": "malignant",
            "00001_20990909_R_CC_2.dcm": "normal",
            "00002_20990909_L_MLO_1.dcm": "normal",
        }
        assert films["00001_20990909_L_CC_1.dcm"].exam == "1-2010"

    def test_cbis_ddsm(self, tmp_path: Path) -> None:
        source = opened("cbis-ddsm", tmp_path)
        found = survey(source)
        assert wrong(found) == {"lesion that can't be used": 1, "patient in both splits": 1}
        films = films_of(source)
        assert {film: (record.label.value, record.official_split) for film, record in films.items()} == {
            "P_01_LEFT_CC": ("malignant", "training"),
            "P_02_RIGHT_MLO": ("benign", "training"),
            "P_02_LEFT_CC": ("benign", "test"),
            "P_03_LEFT_MLO": ("malignant", "test"),
        }
        both = films["P_01_LEFT_CC"]
        assert {(lesion.kind, lesion.label.value) for lesion in both.lesions} == {
            ("mass", "malignant"),
            ("calc", "benign"),
        }
        for film in ("P_01_LEFT_CC", "P_02_RIGHT_MLO", "P_02_LEFT_CC"):
            for lesion in films[film].lesions:
                corners = [round(value) for corner in lesion.polygon for value in corner]
                assert (min(corners[::2]), max(corners[::2])) in {(20, 40), (20, 39)}, film
        assert films["P_03_LEFT_MLO"].lesions[0].polygon == ()
        assert (both.density, films["P_02_LEFT_CC"].density) == ("D", None)
        assert both.acquisition == "film scan"

    def test_cmmd(self, tmp_path: Path) -> None:
        source = opened("cmmd", tmp_path)
        found = survey(source)
        assert wrong(found) == {"image without row": 2}
        assert found.counts["side"] == {"left": 2, "right": 2}
        assert found.counts["view"] == {"CC": 2, "MLO": 2}
        assert {(film.patient, film.label.value) for film in films_of(source).values()} == {
            ("D1-0001", "malignant"),
            ("D2-0002", "benign"),
        }

    def test_inbreast(self, tmp_path: Path) -> None:
        source = opened("inbreast", tmp_path)
        found = survey(source)
        assert wrong(found) == {"lesion that can't be used": 1}
        assert (found.films, found.patients) == (3, 2)
        films = films_of(source)
        mass, point = films["20586908"].lesions
        assert (mass.kind, len(mass.polygon), point.kind, point.polygon) == (
            "Mass",
            4,
            "Calcification",
            ((40.5, 20.25),),
        )
        assert (films["20586908"].patient, films["20586934"].patient) == ("6c613a14b80a8591",) * 2
        assert (films["20586908"].label, films["20586960"].density) == (Label.MALIGNANT, None)
        assert films["20586934"].view == "MLO"

    def test_embed(self, tmp_path: Path) -> None:
        source = opened("embed", tmp_path)
        found = survey(source)
        assert (wrong(found), found.left_out) == ({"no label": 1}, 2)
        films = films_of(source)
        assert {film: record.label.value for film, record in films.items()} == {"1.2.1": "malignant", "1.2.2": "normal"}
        (box,) = films["1.2.1"].lesions
        assert (box.polygon[0], box.polygon[2]) == ((10, 5), (30, 25))
        assert (films["1.2.1"].density, films["1.2.1"].group) == ("D", "1")
