"""Count films by applicability of the model; `drift` compares their pixels."""

from services.inference.serving.predictor import Prediction, applicability
from shared import metrics
from shared.modelling.card import ModelCard


def count_applicability(card: ModelCard, prediction: Prediction) -> None:
    """Count a film by applicability and by the facts that no training film had."""
    assessed = applicability(card, prediction.known, prediction.image.bits)
    fits = "unknown" if card.trained_on is None else "applies"
    for reason in assessed.misfits or (fits,):
        metrics.APPLICABILITY.labels(card.network, card.version, reason).inc()
