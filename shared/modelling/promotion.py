"""The promotion gate: compare a published model with the one in production.

Pure; the registry calls it. Two models of one data set, which may have grown between them, are compared on the films
that both held out: each film is predicted by weights that were trained without its patient. Patients are resampled,
both are evaluated on each resample, and the interval is that of the difference. The effect of the choice of patients on
both cancels out, so that a real loss is found that two separate intervals would hide.
"""

from shared.errors import PromotionRefused
from shared.modelling.bootstrap import Interval
from shared.modelling.card import ModelCard
from shared.modelling.metrics import auc_difference
from shared.modelling.predictions import FoldPredictions
from shared.modelling.recipes import HONEST

PREDICTIONS = "predictions.json"
"""The file of a version that is compared: calibrated predictions for the held-out films of all folds."""

GOLDEN_TOLERANCE = 1e-4
"""Largest allowed difference of the graph's golden answers from torch's (`golden_difference`)."""


def check_fit(card: ModelCard) -> None:
    """Check the conditions that --force does not override.

    Raises:
        PromotionRefused: a model of the leaky protocol, a graph that differs from torch, or films whose terms forbid to
            release models.
    """
    if card.terms is not None and not card.terms.release_models:
        raise PromotionRefused(
            f"{card.network} {card.version} was trained on data set {card.dataset}, whose terms forbid to release "
            f"models, so it is not put into use: {card.terms.text}"
        )
    if card.protocol not in HONEST:
        raise PromotionRefused(
            f"{card.network} {card.version} was trained with the leaky protocol 'paper', whose metrics are "
            "inflated; train with 'patient'"
        )
    if card.golden_difference is not None and not card.golden_difference <= GOLDEN_TOLERANCE:
        raise PromotionRefused(
            f"the graph of {card.network} {card.version} differs from torch's golden answers by "
            f"{card.golden_difference:.2g}, more than {GOLDEN_TOLERANCE:g}; retrain it"
        )


def check_not_worse(
    current: ModelCard,
    candidate: ModelCard,
    judged: tuple[FoldPredictions, FoldPredictions] | None,
    *,
    only_if_better: bool,
) -> None:
    """Compare the candidate with the model in production; --force skips this.

    Args:
        judged: predictions of the current model's and the candidate's folds for their held-out films; None if one of
            them was published before these were stored: then the candidate's macro AUC must reach the other's interval.
        only_if_better: reject a tie.

    Raises:
        PromotionRefused: the candidate was trained on another data set; no film was held out by both; it is worse
            beyond the interval; or it is no better although `only_if_better`.
    """
    if candidate.synthetic and not current.synthetic:
        raise PromotionRefused(
            "a model of synthetic films can't replace one of real films; use --force to promote it anyway"
        )
    if current.synthetic and not candidate.synthetic:
        return  # what was generated says nothing about people, so there is nothing to lose
    if candidate.dataset != current.dataset:
        raise PromotionRefused(
            f"it was trained on data set {candidate.dataset} and {current.version}, which is in production, on "
            f"{current.dataset}: results on different films can't be compared; use --force to promote it anyway"
        )
    if judged is None:
        _check_intervals(current, candidate, only_if_better=only_if_better)
        return
    common = held_out_by_both(*judged)
    if common is None:
        raise _no_comparison(current)
    difference, films = auc_difference(*common), len(set(common[0].films))
    if difference.value is None:
        raise _no_comparison(current)
    found = f"on the {films} films that both held out from training its macro AUC is {_interval(difference)} against"
    if difference.high is not None and difference.high < 0:
        raise PromotionRefused(
            f"{found} {current.version}: worse beyond the interval; use --force to promote it anyway"
        )
    if only_if_better and difference.value <= 0:
        raise PromotionRefused(f"{found} {current.version}: no better; use --force to promote it anyway")


def held_out_by_both(one: FoldPredictions, other: FoldPredictions) -> tuple[FoldPredictions, FoldPredictions] | None:
    """Select the films that both predicted by weights that were trained without the film's patient.

    Films whose patient or label differs between the two are left out. None if no film remains.
    """
    facts = [dict(zip(each.films, zip(each.patients, each.labels, strict=True), strict=True)) for each in (one, other)]
    common = {film for film, known in facts[0].items() if facts[1].get(film) == known}
    if not common:
        return None
    first, second = (each.at(place for place, film in enumerate(each.films) if film in common) for each in (one, other))
    return first, second


def _check_intervals(current: ModelCard, candidate: ModelCard, *, only_if_better: bool) -> None:
    """Compare the macro AUC of a card with the interval of another, where predictions are missing."""
    now, then = candidate.metrics.macro_auc, current.metrics.macro_auc
    if now.value is not None and then.low is not None and now.value < then.low:
        raise PromotionRefused(
            f"its macro AUC {now.value:.3f} is below the interval of {current.version}, which begins at "
            f"{then.low:.3f}; use --force to promote it anyway"
        )
    if only_if_better:
        if now.value is None or then.value is None:
            raise _no_comparison(current)
        if now.value <= then.value:
            raise PromotionRefused(
                f"its macro AUC {now.value:.3f} is no better than the {then.value:.3f} of {current.version}; use "
                "--force to promote it anyway"
            )


def _no_comparison(current: ModelCard) -> PromotionRefused:
    return PromotionRefused(
        f"it can't be compared with {current.version}: no films of all classes were held out from training by both; "
        "use --force to promote it anyway"
    )


def _interval(difference: Interval) -> str:
    if difference.low is None or difference.high is None:
        return f"{difference.value:+.3f}"
    return f"{difference.value:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"
