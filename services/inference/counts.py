"""Counts films by whether the model was trained on their kind; drift, which looks at pixels, is counted in `drift`."""

from services.inference.serving.predictor import Prediction, applicability
from shared import metrics
from shared.modelling.card import ModelCard


def count_applicability(card: ModelCard, found: Prediction) -> None:
    """Count whether the model was trained on films of this kind, and by which facts it was not."""
    assessed = applicability(card, found.known, found.image.bits)
    fits = "unknown" if card.trained_on is None else "applies"
    for reason in assessed.misfits or (fits,):
        metrics.APPLICABILITY.labels(card.network, card.version, reason).inc()
