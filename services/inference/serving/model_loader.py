"""Keep the promoted model loaded: poll, load and verify a new one, then swap."""

import io
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np

from services.inference.serving.engines import fastest_engine, load_engine, offered_engine, offers
from services.inference.serving.predictor import ServedModel
from shared import metrics
from shared.domain.arrays import Float32Array
from shared.errors import MammoError, ModelCorrupt, ModelNotFound, ModelNotReady, StoreUnavailable, text_for_clients
from shared.imaging.preprocess import Preprocessing
from shared.imaging.segmentation.segment import SEGMENTATION_VERSION
from shared.logs import Repeats
from shared.modelling.card import GOLDEN, HEAD, WEIGHTS, ModelCard
from shared.modelling.engines.interface import Engine, EngineUnavailable, Graph
from shared.modelling.engines.names import EngineName, EngineSetting, number_format
from shared.modelling.golden import check_golden
from shared.store import models
from shared.store.interface import ObjectStore

_TOLERANCE_TORCH = 1e-3

_AGAIN_AFTER_S = 60.0
"""A version that was refused may be mended: its files come while a bucket is restored, or are published again. To load
it takes too much of the store and of the CPU to try it at every look."""

_log = logging.getLogger("mammostack.inference")


@dataclass(frozen=True)
class WantedEngine:
    """The engine that is set, its threads, and the folder of compiled networks (None: none is kept)."""

    threads: int
    setting: EngineSetting = "auto"
    cache: Path | None = None


class ModelKeeper:
    """The model that `alias` of `network` points to.

    Requests read `current` once and keep that model to their end.
    """

    def __init__(self, store: ObjectStore, network: str, alias: str, wanted: WantedEngine) -> None:
        self._store = store
        self._network = network
        self._alias = alias
        self._wanted = wanted
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
        except ModelNotFound as error:  # nothing is promoted, so nothing fails to be loaded
            self._reason = self._told = str(error)
            metrics.MODEL_NOT_LOADED.set(0)
        except MammoError as error:
            self._keep_old(error, error.code)
        else:
            self._take(version)

    def _take(self, version: str) -> None:
        if self._model and version == self._model.card.version:
            metrics.MODEL_NOT_LOADED.set(0)
            return
        if version == self._refused and time.monotonic() < self._again_at:
            return
        try:
            self._swap(load_model(self._store, self._network, version, self._wanted))
        except (ModelCorrupt, EngineUnavailable, ModelNotReady) as error:  # loading it again at once would cost as much
            self._refused, self._again_at = version, time.monotonic() + _AGAIN_AFTER_S
            self._keep_old(error, "corrupt" if isinstance(error, ModelCorrupt) else error.code)
        except MammoError as error:
            self._keep_old(error, error.code)

    def _swap(self, model: ServedModel) -> None:
        old, self._model, self._refused = self._model, model, None
        if old:
            metrics.MODEL_INFO.labels(old.card.network, old.card.version).set(0)
            metrics.MODEL_ENGINE.labels(old.card.network, old.card.version, old.engine_name).set(0)
        metrics.MODEL_INFO.labels(model.card.network, model.card.version).set(1)
        metrics.MODEL_ENGINE.labels(model.card.network, model.card.version, model.engine_name).set(1)
        created = datetime.fromisoformat(model.card.created).timestamp()
        metrics.MODEL_CREATED.labels(model.card.network, model.card.version).set(created)
        metrics.MODEL_LOADS.labels("loaded").inc()
        metrics.MODEL_NOT_LOADED.set(0)
        _log.info(
            "model loaded",
            extra={"network": model.card.network, "version": model.card.version, "engine": model.engine_name},
        )

    def _keep_old(self, error: MammoError, outcome: str) -> None:
        self._reason, self._told = str(error), f"no model is loaded: {text_for_clients(error)}"
        metrics.MODEL_LOADS.labels(outcome).inc()
        if not isinstance(error, StoreUnavailable):  # of which the store's own series tells
            metrics.MODEL_NOT_LOADED.set(1)
        if self._repeats.is_due(str(error)):
            _log.error("model not loaded", extra={"reason": str(error)})


def load_model(store: ObjectStore, network: str, version: str, wanted: WantedEngine) -> ServedModel:
    """Load and verify one version; in a number format that its card does not offer, it is never served.

    Raises:
        ModelCorrupt: a digest or a golden output is wrong, or preprocessing differs.
    """
    card = models.read_card(store, network, version)
    if card.preprocessing.segmentation != SEGMENTATION_VERSION:
        raise ModelCorrupt(
            f"{network} {version} was trained with segmentation {card.preprocessing.segmentation}, this service has "
            f"{SEGMENTATION_VERSION}; deploy the release that trained it, or retrain it"
        )
    name, file, engine = _load_verified(card, partial(models.read_file, store, card), wanted)
    head = _read_head(models.read_file(store, card, HEAD)) if HEAD in card.files else None
    return ServedModel(card, file, name, engine, Preprocessing(size=card.preprocessing.size), head)


def _load_verified(
    card: ModelCard, read: Callable[[str], bytes], wanted: WantedEngine
) -> tuple[EngineName, str, Engine]:
    """Load the engine, and check its golden answers; returns its name, the file that it runs, and itself."""
    if wanted.setting == "torch":
        from services.inference.serving.torch_engine import TorchEngine  # noqa: PLC0415  the CPU's server never imports torch

        network = TorchEngine(card.network, read(WEIGHTS), wanted.threads)
        check_golden(read(GOLDEN), lambda films: network.run(films).logits, _TOLERANCE_TORCH)
        return "torch", WEIGHTS, network
    if wanted.setting == "auto":
        name = fastest_engine(card, read, wanted.cache)
    else:
        name = offered_engine(card, wanted.setting)
    offer = offers(card)[number_format(name)]
    graph = Graph(card.files[offer.graph], partial(read, offer.graph))
    engine = load_engine(name, graph, wanted.threads, wanted.cache)
    check_golden(read(offer.golden), lambda films: engine.run(films).logits, offer.tolerance)
    return name, offer.graph, engine


def _read_head(document: bytes) -> Float32Array:
    """Read the weights of the last layer, float32 3 x C.

    Raises:
        ModelCorrupt: the file is damaged.
    """
    try:
        return np.asarray(np.load(io.BytesIO(document), allow_pickle=False), np.float32)
    except ValueError as error:
        raise ModelCorrupt(f"{HEAD} can't be read: {error}; publish the model again") from error
