"""What is known of a data set as a whole: the size of its shards, its patients, and a digest of it all."""

import pytest

from shared.domain.films import Dataset, Exposure, Film, Manifest, check_enough_patients, describe, patients_by_label
from shared.domain.records import Label
from shared.domain.terms import MIAS_TERMS, SYNTHETIC_TERMS, Terms
from shared.errors import PlanError
from tests.support.builders import small_manifest


class TestPatientsByLabel:
    def test_patients_are_counted_once_under_each_label_of_their_films(self) -> None:
        films = small_manifest(4).films  # of two patients
        labels = (Label.NORMAL, Label.MALIGNANT, Label.NORMAL, Label.NORMAL)
        relabelled = [film.model_copy(update={"label": label}) for film, label in zip(films, labels, strict=True)]
        assert patients_by_label(relabelled) == {Label.NORMAL: 2, Label.BENIGN: 0, Label.MALIGNANT: 1}


class TestDataset:
    def test_a_description_survives_being_stored(self) -> None:
        described = describe(small_manifest(20))
        assert Dataset.model_validate_json(described.model_dump_json()) == described


class TestCheckEnoughPatients:
    def test_each_label_needs_a_patient_for_every_fold_and_one_more(self) -> None:
        check_enough_patients({Label.NORMAL: 3, Label.BENIGN: 9, Label.MALIGNANT: 3}, folds=2)
        with pytest.raises(PlanError, match=r"2 patients have a film that is malignant, too few .* 2 folds"):
            check_enough_patients({Label.NORMAL: 3, Label.BENIGN: 9, Label.MALIGNANT: 2}, folds=2)


BEFORE_EXPOSURES = (
    '{"id":"mdb001","patient":"p001","side":"right","density":"G","label":"normal","lesions":[],'
    '"sha256":"0000000000000000000000000000000000000000000000000000000000000001","width":1024,"height":1024}'
)
"""A film as it was stored before records said which view it is."""


class TestDescribe:
    @pytest.mark.parametrize("films", [0, 1, 8, 322])
    def test_a_shard_has_eight_films(self, films: int) -> None:
        described = describe(small_manifest(films))
        assert (described.films, described.shard_films) == (films, 8)

    @pytest.mark.parametrize(("films", "shard_films"), [(24, 8), (25, 9), (27, 9), (28, 10), (100, 34)])
    def test_there_are_never_more_shards_than_can_be_listed(
        self, monkeypatch: pytest.MonkeyPatch, films: int, shard_films: int
    ) -> None:
        monkeypatch.setattr("shared.domain.films._MANY_SHARDS", 3)
        described = describe(small_manifest(films))
        assert described.shard_films == shard_films
        assert -(-films // described.shard_films) <= 3

    def test_the_digest_of_films_in_the_form_of_mias_is_what_it_was_before_exposures(self) -> None:
        digest = "0d16aba5cf71fe1788e96670b3039dfb0edc039afc62dee34d16a01266bbe572"
        assert describe(small_manifest(16)).sha256 == digest


class TestExposure:
    @pytest.mark.parametrize(
        "change",
        [
            {"view": "CC"},
            {"view": None},
            {"exam": "e1"},
            {"acquisition": None},
            {"vendor": "GE"},
            {"bits": 12},
            {"spacing": (0.07, 0.07)},
            {"group": "site 2"},
            {"official_split": "test"},
        ],
        ids=str,
    )
    def test_what_is_known_of_an_exposure_is_kept_and_counts_in_the_digest(self, change: dict[str, object]) -> None:
        films = small_manifest(4).films
        other = (films[0].model_copy(update=change), *films[1:])
        assert Film.model_validate_json(other[0].model_dump_json()).exposure == Exposure.model_validate(change).exposure
        digests = {
            describe(Manifest(dataset="small", synthetic=True, films=chosen)).sha256 for chosen in (films, other)
        }
        assert len(digests) == 2


class TestManifest:
    def test_the_digest_covers_all_that_is_known_of_the_films_and_their_order(self) -> None:
        films = small_manifest(4).films
        other = (films[0].model_copy(update={"density": "F"}), *films[1:])
        variants = (films, films[:3], films[::-1], other)
        digests = [describe(Manifest(dataset="small", synthetic=True, films=chosen)).sha256 for chosen in variants]
        assert len(set(digests)) == len(variants)
        assert describe(Manifest(dataset="another", synthetic=True, films=films)).sha256 == digests[0]

    def test_the_digest_of_films_is_the_same_wherever_they_are_stored(self) -> None:
        films = small_manifest(4).films
        moved = tuple(film.model_copy(update={"key": f"films/{film.id}"}) for film in films)
        digests = {
            describe(Manifest(dataset="small", synthetic=True, films=chosen)).sha256 for chosen in (films, moved)
        }
        assert len(digests) == 1

    def test_a_manifest_that_says_no_terms_has_those_of_mias_or_of_generated_films(self) -> None:
        real = Manifest(dataset="mias", synthetic=False, films=())
        assert (real.known_terms, small_manifest(0).known_terms) == (MIAS_TERMS, SYNTHETIC_TERMS)
        terms = Terms(text="ours", redistribute=False, release_models=False)
        own = Manifest(dataset="own", synthetic=False, terms=terms, labelling="by pathology", films=())
        described = Dataset.model_validate_json(describe(own).model_dump_json())
        assert (described.known_terms, described.labelling) == (terms, "by pathology")


class TestFilm:
    def test_a_film_that_was_stored_before_exposures_is_an_oblique_film_scan_and_is_written_as_before(self) -> None:
        film = Film.model_validate_json(BEFORE_EXPOSURES)
        assert film.exposure == {
            "view": "MLO",
            "exam": None,
            "acquisition": "film scan",
            "vendor": None,
            "bits": 8,
            "spacing": None,
            "group": None,
            "official_split": None,
        }
        assert film.model_dump_json() == BEFORE_EXPOSURES

    def test_a_film_may_have_no_density(self) -> None:
        film = small_manifest(1).films[0].model_copy(update={"density": None})
        assert Film.model_validate_json(film.model_dump_json()) == film
