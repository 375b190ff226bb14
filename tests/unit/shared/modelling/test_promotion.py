"""The gate compares on films that both models held out, and chance that hits both alike cancels out."""

import numpy as np
import pytest

from shared.domain.records import CLASSES
from shared.domain.terms import Terms
from shared.errors import PromotionRefused
from shared.modelling.metrics import auc_difference, evaluate
from shared.modelling.predictions import FoldPredictions, merge
from shared.modelling.promotion import check_fit, check_not_worse, held_out_by_both
from tests.support.builders import model_card

FILMS = 120
TRUTH = np.arange(FILMS) // 2 % 3
NOISE = np.random.default_rng(3).normal(size=(FILMS, 3))


def judged(skill: float) -> FoldPredictions:
    """Two films a patient; the same chance for all."""
    logits = skill * np.eye(3)[TRUTH] + NOISE
    rows = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return FoldPredictions(
        films=tuple(f"film{n:03}" for n in range(FILMS)),
        patients=tuple(f"patient{n // 2:03}" for n in range(FILMS)),
        labels=tuple(CLASSES[label] for label in TRUTH),
        probabilities=tuple((row[0], row[1], row[2]) for row in rows.tolist()),
        folds=tuple(n // 2 % 5 for n in range(FILMS)),
    )


def compare(current: FoldPredictions, candidate: FoldPredictions, *, only_if_better: bool = False) -> None:
    cards = [
        model_card(version=version, metrics=evaluate(predictions, resamples=200))
        for version, predictions in (("v1", current), ("v2", candidate))
    ]
    check_not_worse(cards[0], cards[1], (current, candidate), only_if_better=only_if_better)


class TestCheckFit:
    @pytest.mark.parametrize("difference", [2e-4, float("nan")])
    def test_a_graph_that_does_not_answer_as_torch_does_is_refused(self, difference: float) -> None:
        check_fit(model_card(golden_difference=9e-5))
        with pytest.raises(PromotionRefused, match="differs from torch's golden answers"):
            check_fit(model_card().model_copy(update={"golden_difference": difference}))

    def test_a_model_of_films_whose_terms_forbid_it_is_never_put_into_use(self) -> None:
        terms = Terms(text="EMBED licence.", redistribute=False, release_models=False)
        with pytest.raises(PromotionRefused, match=r"data set small, whose terms forbid to release models.*EMBED"):
            check_fit(model_card(terms=terms))
        check_fit(model_card(terms=terms.model_copy(update={"release_models": True})))


class TestHeldOutByBoth:
    def test_films_of_a_data_set_that_has_grown_are_those_of_both_versions(self) -> None:
        before, after = judged(1.2).at(range(80)), judged(1.5).at(range(119, 19, -1))
        one, other = held_out_by_both(before, after) or pytest.fail("no film")
        assert set(one.films) == set(other.films) == {f"film{number:03}" for number in range(20, 80)}

    def test_films_whose_patient_or_label_changed_are_left_out(self) -> None:
        one = judged(1.2)
        moved = one.model_copy(update={"patients": ("another", *one.patients[1:])})
        judged_anew = one.model_copy(update={"labels": (*one.labels[:-1], CLASSES[(TRUTH[-1] + 1) % 3])})
        for other, film in ((moved, "film000"), (judged_anew, f"film{FILMS - 1:03}")):
            common, _ = held_out_by_both(one, other) or pytest.fail("no film")
            assert set(one.films) - set(common.films) == {film}
        assert held_out_by_both(one.at([0]), one.at([1])) is None


class TestAucDifference:
    def test_the_order_of_films_and_their_folds_do_not_matter(self) -> None:
        one = judged(1.2)
        backwards = FoldPredictions.model_validate({name: values[::-1] for name, values in one})
        assert auc_difference(one, backwards).value == pytest.approx(0)
        assert auc_difference(one, judged(1.5)) == auc_difference(backwards, judged(1.5))
        other_folds = judged(1.5).model_copy(update={"folds": (0,) * FILMS})
        assert auc_difference(one, other_folds).value == pytest.approx(auc_difference(one, judged(1.5)).value)

    def test_several_divisions_count_no_more_than_one(self) -> None:
        one, other = judged(1.2), judged(1.5)
        thrice = merge([other.model_copy(update={"folds": tuple(f + 5 * n for f in other.folds)}) for n in range(3)])
        once, repeated = auc_difference(one, other), auc_difference(one, thrice)
        for value in ("value", "low", "high"):
            assert getattr(repeated, value) == pytest.approx(getattr(once, value))


class TestCheckNotWorse:
    def test_a_loss_within_the_interval_of_either_is_seen_on_the_same_films(self) -> None:
        current, candidate = judged(1.2), judged(1.05)
        low, now = evaluate(current).macro_auc.low, evaluate(candidate).macro_auc.value
        assert low is not None
        assert now is not None
        assert now > low  # two separate intervals would let it pass
        with pytest.raises(PromotionRefused, match=r"on the 120 films that both held out .* -0\.0\d+ .* worse beyond"):
            compare(current, candidate)

    @pytest.mark.parametrize("candidate", [judged(1.2), judged(1.5)])
    def test_what_is_no_worse_beyond_the_interval_passes(self, candidate: FoldPredictions) -> None:
        compare(judged(1.2), candidate)

    def test_only_what_is_better_passes_where_that_is_asked_for(self) -> None:
        compare(judged(1.2), judged(1.5), only_if_better=True)
        with pytest.raises(PromotionRefused, match="no better"):
            compare(judged(1.2), judged(1.2), only_if_better=True)

    def test_a_model_of_another_data_set_is_refused_however_good_it_is(self) -> None:
        other = model_card(version="v2", dataset="another", metrics=evaluate(judged(3.0), resamples=50))
        for better in (False, True):
            with pytest.raises(PromotionRefused, match=r"trained on data set another and v1.*on small.*--force"):
                check_not_worse(model_card(), other, (judged(1.2), judged(3.0)), only_if_better=better)

    def test_without_a_film_that_both_held_out_nothing_can_be_compared(self) -> None:
        first, second = judged(1.2).at(range(60)), judged(1.5).at(range(60, FILMS))
        with pytest.raises(PromotionRefused, match="it can't be compared with v1: no films"):
            compare(first, second)

    def test_a_grown_data_set_is_judged_on_what_both_held_out_alone(self) -> None:
        """The new films are easy: counted in, they would hide that the candidate is worse on the others."""
        easy = judged(9.0).at(range(60, FILMS))
        candidate = merge([judged(0.3).at(range(60)), easy])
        with pytest.raises(PromotionRefused, match="on the 60 films that both held out"):
            compare(judged(1.2).at(range(60)), candidate)

    def test_the_difference_is_that_of_the_two_areas_and_narrower_than_either(self) -> None:
        one, other = judged(1.2), judged(1.05)
        areas = [evaluate(each).macro_auc for each in (one, other)]
        difference = auc_difference(one, other)
        assert difference.value == pytest.approx((areas[1].value or 0) - (areas[0].value or 0))
        widths = [(area.high or 0) - (area.low or 0) for area in areas]
        assert (difference.high or 0) - (difference.low or 0) < min(widths)
