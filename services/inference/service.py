"""The inference service without HTTP: current model, queue and metrics."""

import logging
import select
import socket
import threading
from collections.abc import Callable

from services.inference.admission.auth import Authenticator, local_key
from services.inference.admission.queueing import IN_HAND, AdmissionQueue, Overloaded
from services.inference.applicability_metrics import count_applicability
from services.inference.drift import DriftMonitor
from services.inference.serving.known_film import UNSTATED, ViewAndSide
from services.inference.serving.model_loader import ModelKeeper, WantedEngine
from services.inference.serving.predictor import Explain, Prediction, ServedModel, predict
from shared import metrics
from shared.errors import ImageError, ModelNotFound
from shared.modelling.drift import TraitsOfFilm, traits_of
from shared.settings import InferenceProcessSettings
from shared.store.interface import ObjectStore
from shared.store.objects import open_store

_log = logging.getLogger("mammostack.inference")


class InferenceService:
    """Service behind all APIs; one per process, thread-safe."""

    def __init__(self, settings: InferenceProcessSettings) -> None:
        self.settings, serving, cores = settings, settings.serving, settings.compute.cores
        self.store: ObjectStore = open_store(settings.store)
        self.authenticator = Authenticator(self.store, local_key(settings.client, serving))
        wanted = WantedEngine(cores, serving.engine, serving.cache_folder)
        self.keeper = ModelKeeper(self.store, serving.network, serving.alias, wanted)
        self.queue = AdmissionQueue(IN_HAND * cores, serving.waiting)
        self._drift = DriftMonitor()
        self._looked, self._closing = threading.Event(), threading.Event()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def close(self) -> None:
        """Stop watching for promotions; the loaded model stays in use."""
        self._closing.set()

    def wait_for_first_look(self, seconds: float) -> None:
        """Wait until keys and the promoted model have been looked up, or `seconds` passed."""
        self._looked.wait(seconds)

    def model(self, network: str | None = None, version: str | None = None) -> ServedModel:
        """Return the current model, checking `network` and `version` if given.

        Raises:
            ModelNotReady: nothing is loaded yet.
            ModelNotFound: another network or version is requested.
        """
        current = self.keeper.current
        if network not in (None, current.card.network) or version not in (None, current.card.version):
            requested = f"{network} {version or ''}".strip()
            raise ModelNotFound(f"{requested} is not served; {current.card.network} {current.card.version} is")
        return current

    def predict(
        self,
        model: ServedModel,
        data: bytes,
        *,
        explain: Explain | None = None,
        stated: ViewAndSide = UNSTATED,
        timeout_s: float | None = None,
        is_gone: Callable[[], bool] = lambda: False,
    ) -> Prediction:
        """Wait for a slot, then predict.

        Errors of `AdmissionQueue.slot` and `predictor.predict` are passed on.
        """
        card = model.card
        try:
            with metrics.REQUESTS_IN_HAND.track_inprogress(), self.queue.slot(timeout_s, is_gone) as slot:
                prediction = predict(model, data, alone=slot.alone, explain=explain, stated=stated)
        except (ImageError, Overloaded) as error:
            metrics.REFUSALS.labels(error.code).inc()
            raise
        seconds = prediction.seconds
        seconds["queue"] = slot.waited_s
        metrics.QUEUE_SECONDS.labels(card.network).observe(seconds["queue"])
        metrics.PREPROCESS_SECONDS.labels(card.network).observe(seconds["decode"] + seconds["segment"])
        metrics.PREDICT_SECONDS.labels(card.network, card.version).observe(seconds["network"])
        if "explain" in seconds:
            metrics.EXPLAIN_SECONDS.labels(card.network).observe(seconds["explain"])
        metrics.PREDICTIONS.labels(card.network, card.version, prediction.label).inc()
        metrics.CONFIDENCE.labels(card.network, card.version).observe(float(prediction.probabilities.max()))
        count_applicability(card, prediction)
        self._drift.observe(card, _traits(prediction))
        return prediction

    def _watch(self) -> None:
        """Poll for changed keys and promotions every few seconds."""
        while not self._closing.is_set():
            for look in (self.authenticator.refresh, self.keeper.refresh):
                try:
                    look()
                except Exception:  # noqa: BLE001  the watch must outlive whatever the store or the runtime raises
                    _log.exception("reading the store failed")
            self._looked.set()
            self._closing.wait(self.settings.serving.promotion_poll_s)


def _traits(prediction: Prediction) -> TraitsOfFilm:
    segmented = prediction.segmentation
    return traits_of(segmented.oriented, segmented.drawn, prediction.image.bits)


def connection_closed(connection: socket.socket | None) -> bool:
    """Return True if the client has closed its connection; False if that is unknown."""
    if connection is None:
        return False
    try:
        readable, _, _ = select.select([connection], [], [], 0)
        return bool(readable) and connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except (OSError, ValueError):
        return False
