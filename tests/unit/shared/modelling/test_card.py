"""The card of a model: what it says of its probabilities, and that it is read as it was written."""

import pytest
from pydantic import ValidationError

from shared.modelling.applicability import count_films
from shared.modelling.calibration import MIN_FILMS, OPERATING_POINTS
from shared.modelling.card import ModelCard, limits_of
from tests.support.builders import model_card, small_manifest


class TestModelCard:
    def test_a_card_is_read_as_it_was_written(self) -> None:
        card = model_card()
        assert ModelCard.model_validate_json(card.model_dump_json()) == card
        assert tuple(point.name for point in card.operating_points) == OPERATING_POINTS

    def test_a_card_says_how_its_probabilities_were_calibrated_and_what_that_is_not_worth(self) -> None:
        (calibration,) = (limit for limit in model_card().limits if "calibrated" in limit)
        assert "a single temperature on the validation films of one fold" in calibration
        assert f"not at all where these are fewer than {MIN_FILMS}" in calibration
        assert "far more cancers than screening does" in calibration

    @pytest.mark.parametrize("temperature", [0.0, -1.0])
    def test_a_temperature_that_turns_the_classes_around_is_refused(self, temperature: float) -> None:
        with pytest.raises(ValidationError, match="temperature"):
            model_card(temperature=temperature)

    def test_a_card_of_before_exams_is_read(self) -> None:
        card = model_card()
        assert ModelCard.model_validate_json(card.model_dump_json(exclude={"trained_on", "exam_rule"})) == card


class TestLimitsOf:
    def test_the_limits_say_what_films_a_model_was_trained_on(self) -> None:
        first, *_ = limits_of(count_films(small_manifest().films))
        assert first == (
            "Trained on one data set of oblique (MLO) film scans of 8 bits; it knows nothing about other films."
        )
