"""Keep the promoted model loaded: poll, load and verify a new one, then swap."""

import io
import logging
import time
from datetime import datetime

import numpy as np

from services.inference.serving.engine import Engine, Runner
from services.inference.serving.predictor import ServedModel
from shared import metrics
from shared.domain.arrays import Float32Array
from shared.errors import MammoError, ModelCorrupt, ModelNotFound, ModelNotReady, text_for_clients
from shared.imaging.preprocess import Preprocessing
from shared.imaging.segmentation.segment import SEGMENTATION_VERSION
from shared.logs import Repeats
from shared.modelling.card import GOLDEN, GOLDEN_INT8, HEAD, INT8, ONNX, WEIGHTS, ModelCard
from shared.modelling.golden import check_golden
from shared.settings import EngineKind
from shared.store import models
from shared.store.interface import ObjectStore

_TOLERANCE = 1e-3
_TOLERANCE_INT8 = 0.05
"""CPUs round sums of 8-bit products in different ways."""

_AGAIN_AFTER_S = 60.0
"""A version that was refused may be mended: its files come while a bucket is restored, or are published again. To load
it takes too much of the store and of the CPU to try it at every look."""

_log = logging.getLogger("mammostack.inference")


class ModelKeeper:
    """The model that `alias` of `network` points to.

    Requests read `current` once and keep that model to their end.
    """

    def __init__(self, store: ObjectStore, network: str, alias: str, threads: int, kind: EngineKind = "onnx") -> None:
        self._store = store
        self._network = network
        self._alias = alias
        self._threads = threads
        self._kind = kind
        self._model: ServedModel | None = None
        self._reason = self._told = "the model registry has not been read yet"
        self._refused: str | None = None
        self._again_at = 0.0
        self._repeats = Repeats()

    @property
    def ready(self) -> bool:
        return self._model is not None

    @property
    def current(self) -> ServedModel:
        """Raises ModelNotReady, with the reason, while nothing could be loaded."""
        if self._model is None:
            raise ModelNotReady(self._reason).telling_clients(self._told)
        return self._model

    def refresh(self) -> None:
        """Load the version that the alias points to; after any failure keep the old one."""
        try:
            version = models.read_alias(self._store, self._network, self._alias).version
            if self._model and version == self._model.card.version:
                return
            if version == self._refused and time.monotonic() < self._again_at:
                return
            self._swap(load_model(self._store, self._network, version, self._threads, self._kind))
        except ModelCorrupt as error:
            self._refused, self._again_at = version, time.monotonic() + _AGAIN_AFTER_S
            self._keep_old(error, "corrupt")
        except ModelNotFound as error:
            self._reason = self._told = str(error)
        except MammoError as error:
            self._keep_old(error, error.code)

    def _swap(self, model: ServedModel) -> None:
        old, self._model, self._refused = self._model, model, None
        if old:
            metrics.MODEL_INFO.labels(old.card.network, old.card.version).set(0)
        metrics.MODEL_INFO.labels(model.card.network, model.card.version).set(1)
        created = datetime.fromisoformat(model.card.created).timestamp()
        metrics.MODEL_CREATED.labels(model.card.network, model.card.version).set(created)
        metrics.MODEL_LOADS.labels("loaded").inc()
        _log.info("model loaded", extra={"network": model.card.network, "version": model.card.version})

    def _keep_old(self, error: MammoError, outcome: str) -> None:
        self._reason, self._told = str(error), f"no model is loaded: {text_for_clients(error)}"
        metrics.MODEL_LOADS.labels(outcome).inc()
        if self._repeats.is_due(str(error)):
            _log.error("model not loaded", extra={"reason": str(error)})


def load_model(store: ObjectStore, network: str, version: str, threads: int, kind: EngineKind = "onnx") -> ServedModel:
    """Load and verify one version.

    The 8-bit graph is used only if the version has one, else the original graph.

    Raises:
        ModelCorrupt: a digest or a golden output is wrong, or preprocessing differs.
    """
    card = models.read_card(store, network, version)
    if card.preprocessing.segmentation != SEGMENTATION_VERSION:
        raise ModelCorrupt(
            f"{network} {version} was trained with segmentation {card.preprocessing.segmentation}, this service has "
            f"{SEGMENTATION_VERSION}; deploy the release that trained it, or retrain it"
        )
    file, engine, golden, tolerance = _engine(store, card, threads, kind)
    check_golden(models.read_file(store, card, golden), engine.logits, tolerance)
    head = _read_head(models.read_file(store, card, HEAD)) if HEAD in card.files else None
    return ServedModel(card, file, engine, Preprocessing(size=card.preprocessing.size), head)


def _engine(store: ObjectStore, card: ModelCard, threads: int, kind: EngineKind) -> tuple[str, Runner, str, float]:
    """Return the file, its runner, the file of golden answers, and their tolerance."""
    if kind == "torch":
        from services.inference.serving.torch_engine import TorchEngine  # noqa: PLC0415  the CPU's server never imports torch

        return WEIGHTS, TorchEngine(card.network, models.read_file(store, card, WEIGHTS), threads), GOLDEN, _TOLERANCE
    if kind == "onnx-int8" and INT8 in card.files:
        return INT8, Engine(models.read_file(store, card, INT8), threads), GOLDEN_INT8, _TOLERANCE_INT8
    if kind == "onnx-int8":
        _log.warning(
            "the version has no 8-bit graph; serving the original network",
            extra={"network": card.network, "version": card.version},
        )
    return ONNX, Engine(models.read_file(store, card, ONNX), threads), GOLDEN, _TOLERANCE


def _read_head(document: bytes) -> Float32Array:
    """Read the weights of the last layer, float32 3 x C.

    Raises:
        ModelCorrupt: the file is damaged.
    """
    try:
        return np.asarray(np.load(io.BytesIO(document), allow_pickle=False), np.float32)
    except ValueError as error:
        raise ModelCorrupt(f"{HEAD} can't be read: {error}; publish the model again") from error
