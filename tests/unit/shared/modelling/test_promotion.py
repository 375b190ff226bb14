"""The gate: what was judged on the same folds is compared film by film, and chance that hits both alike cancels out."""

import numpy as np
import pytest

from shared.domain.records import CLASSES
from shared.domain.terms import Terms
from shared.errors import PromotionRefused
from shared.modelling.metrics import auc_difference, evaluate
from shared.modelling.predictions import FoldPredictions
from shared.modelling.promotion import check_fit, check_not_worse, same_folds
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


class TestSameFolds:
    def test_the_order_of_films_does_not_matter_and_their_folds_and_labels_do(self) -> None:
        one = judged(1.2)
        backwards = FoldPredictions.model_validate({name: values[::-1] for name, values in one})
        assert same_folds(one, backwards)
        assert auc_difference(one, backwards).value == pytest.approx(0)
        assert auc_difference(one, judged(1.5)) == auc_difference(backwards, judged(1.5))
        assert not same_folds(one, one.model_copy(update={"folds": (0,) * FILMS}))
        assert not same_folds(one, one.model_copy(update={"labels": one.labels[::-1]}))


class TestCheckNotWorse:
    def test_a_loss_within_the_interval_of_either_is_seen_on_the_same_folds(self) -> None:
        current, candidate = judged(1.2), judged(1.05)
        low, now = evaluate(current).macro_auc.low, evaluate(candidate).macro_auc.value
        assert low is not None
        assert now is not None
        assert now > low  # two separate intervals would let it pass
        with pytest.raises(PromotionRefused, match=r"on the same folds its macro AUC is -0\.0\d+ .* worse beyond"):
            compare(current, candidate)

    @pytest.mark.parametrize("candidate", [judged(1.2), judged(1.5)])
    def test_what_is_no_worse_beyond_the_interval_passes(self, candidate: FoldPredictions) -> None:
        compare(judged(1.2), candidate)

    def test_only_what_is_better_passes_where_that_is_asked_for(self) -> None:
        compare(judged(1.2), judged(1.5), only_if_better=True)
        with pytest.raises(PromotionRefused, match="no better than"):
            compare(judged(1.2), judged(1.2), only_if_better=True)
        other = model_card(version="v2", dataset="another")
        with pytest.raises(PromotionRefused, match="it can't be compared with v1"):
            check_not_worse(model_card(), other, None, only_if_better=True)

    def test_the_difference_is_that_of_the_two_areas_and_narrower_than_either(self) -> None:
        one, other = judged(1.2), judged(1.05)
        areas = [evaluate(each).macro_auc for each in (one, other)]
        difference = auc_difference(one, other)
        assert difference.value == pytest.approx((areas[1].value or 0) - (areas[0].value or 0))
        widths = [(area.high or 0) - (area.low or 0) for area in areas]
        assert (difference.high or 0) - (difference.low or 0) < min(widths)
