"""Whether a model was trained on films such as the one that it is asked about."""

import pytest

from shared.domain.films import Acquisition, Film
from shared.modelling.applicability import TrainedOn, assess, count_films, kinds_of_films
from tests.support.builders import small_manifest, variants_of

MIAS = TrainedOn(films=322, views={"MLO": 322}, acquisitions={"film scan": 322}, vendors={}, bits={8: 322})
CLINIC = TrainedOn(
    films=2000,
    views={"CC": 1000, "MLO": 990, "ML": 10},
    acquisitions={"digital": 1500, "synthesized": 500},
    vendors={"GE": 900, "Hologic": 1100},
    bits={12: 1995, 16: 5},
)


def mias_films(count: int = 16) -> tuple[Film, ...]:
    return small_manifest(count).films


class TestCountFilms:
    def test_the_films_of_mias_are_counted_as_what_they_are(self) -> None:
        assert count_films(mias_films()) == TrainedOn(
            films=16, views={"MLO": 16}, acquisitions={"film scan": 16}, vendors={}, bits={8: 16}
        )

    def test_augmented_copies_do_not_count(self) -> None:
        variants = [variant for film in mias_films(4) for variant in variants_of(film, 3)]
        assert len(variants) == 12
        assert count_films(variants) == count_films(mias_films(4))

    def test_unknown_facts_of_training_films_are_in_no_count(self) -> None:
        film = mias_films(1)[0].model_copy(update={"view": None, "acquisition": None, "bits": None})
        assert count_films([film]) == TrainedOn(films=1, views={}, acquisitions={}, vendors={}, bits={})


class TestAssess:
    def test_a_model_of_mias_says_of_a_digital_craniocaudal_film_that_it_knows_nothing_of_such_films(self) -> None:
        found = assess(MIAS, view="CC", acquisition="digital", vendor="Hologic", bits=12)
        assert not found.applies
        assert found.reasons[0] == (
            "the model was not trained on such films: it was trained on oblique (MLO) film scans of 8 bits only; "
            "this is "
            "a digital craniocaudal (CC) film of 12 bits by Hologic"
        )
        assert found.misfits == ("view", "acquisition", "bits")

    def test_a_film_such_as_it_was_trained_on_fits_without_a_word(self) -> None:
        found = assess(CLINIC, view="CC", acquisition="digital", vendor="GE", bits=12)
        assert (found.applies, found.reasons, found.misfits, found.unknown) == (True, (), (), ())

    @pytest.mark.parametrize(
        ("film", "misfits"),
        [
            ({"view": "AT"}, ("view",)),
            ({"acquisition": "film scan"}, ("acquisition",)),
            ({"vendor": "Fujifilm"}, ("vendor",)),
            ({"bits": 8}, ("bits",)),
        ],
        ids=str,
    )
    def test_one_fact_that_it_was_not_trained_on_is_enough(
        self, film: dict[str, object], misfits: tuple[str, ...]
    ) -> None:
        known: dict[str, object] = {"view": "CC", "acquisition": "digital", "vendor": "GE", "bits": 12}
        found = assess(CLINIC, **{**known, **film})
        assert not found.applies
        assert found.misfits == misfits

    @pytest.mark.parametrize("bits", [10, 11, 14, 16])
    def test_depths_beyond_8_bits_are_alike(self, bits: int) -> None:
        assert assess(CLINIC, view="CC", acquisition="digital", vendor="GE", bits=bits).applies
        assert assess(MIAS, view="MLO", acquisition="film scan", bits=bits).misfits == ("bits",)

    def test_what_is_rare_among_the_training_films_does_not_count_as_trained_on(self) -> None:
        known: dict[str, object] = {"acquisition": "digital", "vendor": "GE", "bits": 12}
        assert not assess(CLINIC, view="ML", **known).applies
        assert assess(CLINIC.model_copy(update={"views": {"CC": 990, "ML": 10}}), view="ML", **known).applies

    def test_unknown_facts_of_a_film_are_told_and_count_neither_for_nor_against(self) -> None:
        found = assess(CLINIC, view="CC", bits=12)
        assert found.applies
        assert found.unknown == ("acquisition", "vendor")
        assert found.reasons == ("unknown for this film: how it was acquired, its vendor",)
        strange = assess(CLINIC, view="AT")
        assert strange.misfits == ("view",)
        assert strange.reasons[1] == "unknown for this film: how it was acquired, its vendor, its depth"

    def test_a_fact_that_is_unknown_of_all_training_films_is_told_and_not_held_against_a_film(self) -> None:
        found = assess(MIAS, view="MLO", acquisition="film scan", vendor="Lumisys", bits=8)
        assert found.applies
        assert found.unknown == ("vendor",)
        assert found.reasons == ("unknown for the training films, so not compared: its vendor",)

    def test_a_card_that_does_not_say_what_it_was_trained_on_applies_to_nothing(self) -> None:
        found = assess(None, view="MLO", acquisition="film scan", bits=8)
        assert not found.applies
        assert found.reasons == ("the model's card does not state which films it was trained on",)

    @pytest.mark.parametrize(
        ("acquisition", "view", "words"),
        [
            ("film scan", "MLO", "an oblique (MLO) film scan of 8 bits"),
            ("synthesized", "CC", "a synthesized craniocaudal (CC) film of 8 bits"),
            (None, "LM", "a lateromedial (LM) film of 8 bits"),
            ("digital", None, "a digital film of 8 bits"),
        ],
    )
    def test_a_film_is_called_by_what_is_known_of_it(
        self, acquisition: Acquisition | None, view: str | None, words: str
    ) -> None:
        assert assess(CLINIC, view=view, acquisition=acquisition, bits=8).reasons[0].endswith(f"; this is {words}")

    def test_several_kinds_of_training_films_are_listed(self) -> None:
        (reason, *_) = assess(CLINIC, view="CC", acquisition="film scan", bits=8).reasons
        assert (
            "trained on craniocaudal (CC) and oblique (MLO) digital films and synthesized films of 12 bits by GE and "
            "Hologic only" in reason
        )


class TestKindsOfFilms:
    @pytest.mark.parametrize(
        ("bits", "words"),
        [({8: 5}, "8 bits"), ({12: 5}, "12 bits"), ({8: 5, 10: 2, 11: 2, 12: 9}, "8 and 10 to 12 bits")],
        ids=str,
    )
    def test_depths_beyond_8_bits_are_told_as_a_range(self, bits: dict[int, int], words: str) -> None:
        trained_on = TrainedOn(films=5, views={}, acquisitions={}, vendors={}, bits=bits)
        assert kinds_of_films(trained_on) == f"films of {words}"
