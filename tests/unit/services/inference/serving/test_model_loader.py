"""The keeper of the promoted model: what it loads, what it refuses, and that the old one stays."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from prometheus_client import REGISTRY

from services.inference.serving import model_loader
from services.inference.serving.engines import offers
from services.inference.serving.model_loader import ModelKeeper, WantedEngine, load_model
from services.inference.serving.predictor import ServedModel
from shared.errors import MammoError, ModelCorrupt, ModelNotReady, StoreUnavailable
from shared.modelling.card import (
    GOLDEN,
    GOLDEN_BFLOAT16,
    GOLDEN_INT8,
    INT8,
    ONNX,
    WEIGHTS,
    Bfloat16Report,
    ModelCard,
    PreprocessingCard,
)
from shared.modelling.engines.interface import EngineUnavailable
from shared.modelling.engines.names import EngineSetting
from shared.modelling.engines.onnx import OnnxEngine
from shared.modelling.golden import golden_inputs
from shared.store import layout, models
from shared.store.directory import DirectoryStore
from shared.store.interface import ObjectStore
from tests.support.builders import model_card, model_place, preprocessing_card
from tests.support.published import NETWORK, promote

ONNX_ENGINE = WantedEngine(1, "onnx")


@pytest.fixture
def keeper(store: ObjectStore) -> ModelKeeper:
    return ModelKeeper(store, NETWORK, "production", ONNX_ENGINE)


def not_loaded() -> float | None:
    return REGISTRY.get_sample_value("mammo_model_not_loaded")


def loads(outcome: str) -> float:
    return REGISTRY.get_sample_value("mammo_model_loads_total", {"outcome": outcome}) or 0


class TestModelKeeper:
    def test_nothing_is_ready_before_a_promotion_and_the_reason_says_what_to_do(self, keeper: ModelKeeper) -> None:
        keeper.refresh()
        with pytest.raises(ModelNotReady, match="mammo models promote modified_cnn"):
            _ = keeper.current

    def test_a_promotion_is_picked_up(self, keeper: ModelKeeper, store: ObjectStore) -> None:
        for version in ("v1", "v2", "v1"):
            promote(store, version)
            keeper.refresh()
            assert keeper.current.card.version == version

    def test_an_unchanged_alias_loads_nothing_again(self, keeper: ModelKeeper, store: ObjectStore) -> None:
        promote(store, "v1")
        keeper.refresh()
        first = keeper.current
        keeper.refresh()
        assert keeper.current is first

    def test_a_model_damaged_after_its_promotion_is_refused_and_the_old_one_stays(
        self, keeper: ModelKeeper, store: ObjectStore
    ) -> None:
        promote(store, "v1")
        keeper.refresh()
        promote(store, "v2")
        key = model_place(store, NETWORK, "v2", "model.onnx")
        store.put(key, store.get(key)[:-1] + b"!")
        assert not_loaded() == 0
        keeper.refresh()
        assert keeper.current.card.version == "v1"
        assert not_loaded() == 1
        promote(store, "v1")
        keeper.refresh()
        assert not_loaded() == 0

    def test_an_alias_that_names_a_version_without_a_card_is_told_until_it_is_gone(
        self, keeper: ModelKeeper, store: ObjectStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        promote(store, "v1")
        keeper.refresh()
        promote(store, "v2")
        store.delete(layout.model_card(NETWORK, "v2"))
        failed = loads("model-not-found")
        keeper.refresh()
        assert (keeper.current.card.version, not_loaded()) == ("v1", 1)
        assert loads("model-not-found") == failed + 1
        assert "model not loaded" in caplog.messages
        store.delete(layout.alias(NETWORK, "production"))
        keeper.refresh()
        assert (keeper.current.card.version, not_loaded()) == ("v1", 0)

    def test_a_store_that_is_away_says_nothing_of_the_version(
        self, keeper: ModelKeeper, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(_key: str) -> bytes:
            raise StoreUnavailable("away")

        promote(store, "v1")
        keeper.refresh()
        monkeypatch.setattr(store, "get", away)
        keeper.refresh()
        assert (keeper.current.card.version, not_loaded()) == ("v1", 0)

    def test_after_a_refusal_the_next_promotion_is_taken(self, keeper: ModelKeeper, store: ObjectStore) -> None:
        promote(store, "v1")
        key = model_place(store, NETWORK, "v1", "golden.json")
        store.put(key, store.get(key) + b" ")
        keeper.refresh()
        with pytest.raises(ModelNotReady, match=r"golden\.json differs from its card's SHA-256"):
            _ = keeper.current
        promote(store, "v2")
        keeper.refresh()
        assert keeper.current.card.version == "v2"

    def test_a_refused_model_is_taken_once_its_files_are_right(
        self, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As when a bucket is restored under a running service: the alias is there before the files are."""
        monkeypatch.setattr("services.inference.serving.model_loader._AGAIN_AFTER_S", 0)
        promote(store, "v1")
        restored = DirectoryStore(tmp_path / "restored")
        keeper = ModelKeeper(restored, NETWORK, "production", ONNX_ENGINE)
        for key in (layout.alias(NETWORK, "production"), layout.model_card(NETWORK, "v1")):
            restored.put(key, store.get(key))
        keeper.refresh()
        with pytest.raises(ModelNotReady, match=r"/model\.onnx is missing"):
            _ = keeper.current
        for key in store.list(layout.models(NETWORK)):
            restored.put(key, store.get(key))
        keeper.refresh()
        assert keeper.current.card.version == "v1"

    def test_a_refused_model_is_not_loaded_at_every_look(self, keeper: ModelKeeper, store: ObjectStore) -> None:
        promote(store, "v1")
        key = model_place(store, NETWORK, "v1", "golden.json")
        right = store.get(key)
        store.put(key, right + b" ")
        keeper.refresh()
        store.put(key, right)
        keeper.refresh()
        assert not keeper.ready

    @pytest.mark.parametrize("error", [EngineUnavailable("no bfloat16 here"), ModelNotReady("no room")])
    def test_a_model_that_can_not_run_here_is_not_loaded_at_every_look(
        self, keeper: ModelKeeper, store: ObjectStore, monkeypatch: pytest.MonkeyPatch, error: MammoError
    ) -> None:
        loads: list[str] = []

        def load(_store: ObjectStore, _network: str, version: str, _wanted: WantedEngine) -> ServedModel:
            loads.append(version)
            raise error

        monkeypatch.setattr(model_loader, "load_model", load)
        promote(store, "v1")
        keeper.refresh()
        keeper.refresh()
        assert loads == ["v1"]
        with pytest.raises(ModelNotReady, match=str(error)):
            _ = keeper.current


def publish_formats(store: ObjectStore, files: dict[str, dict[str, bytes]], **changes: bytes) -> ModelCard:
    """Publish a version that offers bfloat16 and a graph in 8-bit integers; here that of v2, to be told apart."""
    content = {**files["v1"], INT8: files["v2"][ONNX], GOLDEN_INT8: files["v2"][GOLDEN], **changes}
    content[GOLDEN_BFLOAT16] = files["v1"][GOLDEN]
    report = {"films": 30, "auc": 0.8, "decisions_equal": 1.0, "offered": True, "tolerance": 0.05}
    bfloat16 = Bfloat16Report(**report, auc_bfloat16=0.8, emulated=False)
    card = model_card(NETWORK, "v3", preprocessing=preprocessing_card(64), bfloat16=bfloat16)
    models.publish(store, card, content)
    return models.read_card(store, NETWORK, "v3")


class TestLoadModel:
    def test_a_model_that_answers_its_golden_inputs_otherwise_is_refused(
        self, store: ObjectStore, files: dict[str, dict[str, bytes]]
    ) -> None:
        mixed = files["v1"] | {"golden.json": files["v2"]["golden.json"]}
        card = model_card(NETWORK, "mixed", preprocessing=preprocessing_card(64))
        models.publish(store, card, mixed)
        with pytest.raises(ModelCorrupt, match="outputs for its golden inputs differ"):
            load_model(store, NETWORK, "mixed", ONNX_ENGINE)

    def test_a_model_of_another_segmentation_is_refused(
        self, store: ObjectStore, files: dict[str, dict[str, bytes]]
    ) -> None:
        card = model_card(NETWORK, "old", preprocessing=PreprocessingCard(size=64, segmentation=0))
        models.publish(store, card, files["v1"])
        with pytest.raises(ModelCorrupt, match="was trained with segmentation 0"):
            load_model(store, NETWORK, "old", ONNX_ENGINE)

    def test_onnx_runtime_in_single_precision_answers_to_the_last_bit_as_its_own_session_does(
        self, store: ObjectStore, files: dict[str, dict[str, bytes]]
    ) -> None:
        films = golden_inputs(64, 5)
        session = onnxruntime.InferenceSession(files["v1"][ONNX], providers=["CPUExecutionProvider"])
        model = load_model(store, NETWORK, "v1", ONNX_ENGINE)
        assert (model.file, model.engine_name) == (ONNX, "onnx")
        assert (model.engine.run(films).logits == session.run(["logits"], {"films": films})[0]).all()

    def test_a_card_offers_what_its_reports_say(self, store: ObjectStore, files: dict[str, dict[str, bytes]]) -> None:
        card = publish_formats(store, files)
        assert {form: offer.tolerance for form, offer in offers(card).items()} == {
            "float32": 1e-3,
            "bfloat16": 0.05,
            "int8": 0.05,
        }
        assert card.bfloat16
        refused = card.model_copy(update={"bfloat16": card.bfloat16.model_copy(update={"offered": False})})
        assert list(offers(refused)) == ["float32", "int8"]
        assert list(offers(models.read_card(store, NETWORK, "v1"))) == ["float32"]


class TestWantedEngine:
    @pytest.mark.parametrize("engine", ["onnx-int8", "openvino-int8"])
    def test_8_bit_integers_are_served_where_they_are_asked_for_and_offered(
        self, store: ObjectStore, files: dict[str, dict[str, bytes]], engine: EngineSetting
    ) -> None:
        publish_formats(store, files)
        films = golden_inputs(64, 5)
        model = load_model(store, NETWORK, "v3", WantedEngine(1, engine))
        other = OnnxEngine(files["v2"][ONNX], 1).run(films).logits
        assert (model.file, model.engine_name) == (INT8, engine)
        assert model.engine.run(films).logits == pytest.approx(other, abs=1e-4)

    @pytest.mark.parametrize(
        ("wanted", "served"),
        [("onnx-int8", "onnx"), ("openvino-int8", "openvino"), ("openvino-bf16", "openvino"), ("openvino", "openvino")],
    )
    def test_a_format_that_the_version_does_not_offer_is_served_in_single_precision(
        self, store: ObjectStore, wanted: EngineSetting, served: str
    ) -> None:
        model = load_model(store, NETWORK, "v1", WantedEngine(1, wanted))
        assert (model.file, model.engine_name) == (ONNX, served)

    @pytest.mark.parametrize("engine", ["onnx-int8", "openvino-int8"])
    def test_8_bit_integers_that_answer_their_golden_inputs_otherwise_are_refused(
        self, store: ObjectStore, files: dict[str, dict[str, bytes]], engine: EngineSetting
    ) -> None:
        publish_formats(store, files, **{GOLDEN_INT8: files["v1"][GOLDEN]})
        with pytest.raises(ModelCorrupt, match="outputs for its golden inputs differ"):
            load_model(store, NETWORK, "v3", WantedEngine(1, engine))

    def test_torch_serves_the_weights_where_it_is_asked_for(
        self, store: ObjectStore, files: dict[str, dict[str, bytes]]
    ) -> None:
        model = load_model(store, NETWORK, "v1", WantedEngine(1, "torch"))
        films = golden_inputs(64, 5)
        assert (model.file, model.engine_name) == (WEIGHTS, "torch")
        assert np.allclose(
            model.engine.run(films).logits, OnnxEngine(files["v1"][ONNX], 1).run(films).logits, atol=1e-4
        )
