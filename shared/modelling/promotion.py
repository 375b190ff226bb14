"""The promotion gate: compare a published model with the one in production.

Pure; the registry calls it. Two models that were evaluated on the same folds are compared film by film: patients are
resampled, both are evaluated on each resample, and the interval is that of the difference. The effect of the choice of
patients on both cancels out, so that a real loss is found that two separate intervals would hide.
"""

from shared.errors import PromotionRefused
from shared.modelling.bootstrap import Interval
from shared.modelling.card import ModelCard
from shared.modelling.metrics import auc_difference
from shared.modelling.predictions import FoldPredictions

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
    if card.protocol != "patient":
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
        judged: predictions of both on their held-out films; None if one version has none.
        only_if_better: reject a tie.

    Raises:
        PromotionRefused: a synthetic model would replace a real one; it is worse beyond the interval on the same folds;
            on other folds of the same data set its macro AUC is below the other's interval; or it is no better although
            `only_if_better`.
    """
    if candidate.synthetic and not current.synthetic:
        raise PromotionRefused(
            "a model of synthetic films can't replace one of real films; use --force to promote it anyway"
        )
    if candidate.dataset != current.dataset:
        if only_if_better:
            raise _no_comparison(current)
        return
    now, then = candidate.metrics.macro_auc, current.metrics.macro_auc
    if judged and same_folds(*judged):
        difference = auc_difference(*judged)
        if difference.high is not None and difference.high < 0:
            raise PromotionRefused(
                f"on the same folds its macro AUC is {_interval(difference)} against {current.version}: worse beyond "
                "the interval; use --force to promote it anyway"
            )
    elif now.value is not None and then.low is not None and now.value < then.low:
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


def same_folds(one: FoldPredictions, other: FoldPredictions) -> bool:
    """Return True if both were evaluated on the same folds of the same films."""
    first, second = (
        sorted(zip(each.folds, each.films, each.patients, each.labels, strict=True)) for each in (one, other)
    )
    return first == second


def _no_comparison(current: ModelCard) -> PromotionRefused:
    return PromotionRefused(
        f"it can't be compared with {current.version}, which was evaluated on other films; "
        "use --force to promote it anyway"
    )


def _interval(difference: Interval) -> str:
    return f"{difference.value:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"
