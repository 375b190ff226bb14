"""The keeper of the promoted model: what it loads, what it refuses, and that the old one stays."""

from pathlib import Path

import numpy as np
import pytest

from services.inference.serving.engine import Engine
from services.inference.serving.model_loader import ModelKeeper, load_model
from shared.errors import ModelCorrupt, ModelNotReady
from shared.modelling.card import GOLDEN, GOLDEN_INT8, INT8, ONNX, WEIGHTS, PreprocessingCard
from shared.modelling.golden import golden_inputs
from shared.store import layout, models
from shared.store.directory import DirectoryStore
from shared.store.interface import ObjectStore
from tests.support.builders import model_card, model_place, preprocessing_card
from tests.support.published import NETWORK, promote


@pytest.fixture
def keeper(store: ObjectStore) -> ModelKeeper:
    return ModelKeeper(store, NETWORK, "production", threads=1)


def test_nothing_is_ready_before_a_promotion_and_the_reason_says_what_to_do(keeper: ModelKeeper) -> None:
    keeper.refresh()
    with pytest.raises(ModelNotReady, match="mammo models promote modified_cnn"):
        _ = keeper.current


def test_a_promotion_is_picked_up(keeper: ModelKeeper, store: ObjectStore) -> None:
    for version in ("v1", "v2", "v1"):
        promote(store, version)
        keeper.refresh()
        assert keeper.current.card.version == version


def test_an_unchanged_alias_loads_nothing_again(keeper: ModelKeeper, store: ObjectStore) -> None:
    promote(store, "v1")
    keeper.refresh()
    first = keeper.current
    keeper.refresh()
    assert keeper.current is first


def test_a_model_damaged_after_its_promotion_is_refused_and_the_old_one_stays(
    keeper: ModelKeeper, store: ObjectStore
) -> None:
    promote(store, "v1")
    keeper.refresh()
    promote(store, "v2")
    key = model_place(store, NETWORK, "v2", "model.onnx")
    store.put(key, store.get(key)[:-1] + b"!")
    keeper.refresh()
    assert keeper.current.card.version == "v1"


def test_after_a_refusal_the_next_promotion_is_taken(keeper: ModelKeeper, store: ObjectStore) -> None:
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
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a bucket is restored under a running service: the alias is there before the files are."""
    monkeypatch.setattr("services.inference.serving.model_loader._AGAIN_AFTER_S", 0)
    promote(store, "v1")
    restored = DirectoryStore(tmp_path / "restored")
    keeper = ModelKeeper(restored, NETWORK, "production", threads=1)
    for key in (layout.alias(NETWORK, "production"), layout.model_card(NETWORK, "v1")):
        restored.put(key, store.get(key))
    keeper.refresh()
    with pytest.raises(ModelNotReady, match=r"/model\.onnx is missing"):
        _ = keeper.current
    for key in store.list(layout.models(NETWORK)):
        restored.put(key, store.get(key))
    keeper.refresh()
    assert keeper.current.card.version == "v1"


def test_a_refused_model_is_not_loaded_at_every_look(keeper: ModelKeeper, store: ObjectStore) -> None:
    promote(store, "v1")
    key = model_place(store, NETWORK, "v1", "golden.json")
    right = store.get(key)
    store.put(key, right + b" ")
    keeper.refresh()
    store.put(key, right)
    keeper.refresh()
    assert not keeper.ready


def test_a_model_that_answers_its_golden_inputs_otherwise_is_refused(
    store: ObjectStore, files: dict[str, dict[str, bytes]]
) -> None:
    mixed = files["v1"] | {"golden.json": files["v2"]["golden.json"]}
    card = model_card(NETWORK, "mixed", preprocessing=preprocessing_card(64))
    models.publish(store, card, mixed)
    with pytest.raises(ModelCorrupt, match="outputs for its golden inputs differ"):
        load_model(store, NETWORK, "mixed", threads=1)


def test_a_model_of_another_segmentation_is_refused(store: ObjectStore, files: dict[str, dict[str, bytes]]) -> None:
    card = model_card(NETWORK, "old", preprocessing=PreprocessingCard(size=64, segmentation=0))
    models.publish(store, card, files["v1"])
    with pytest.raises(ModelCorrupt, match="was trained with segmentation 0"):
        load_model(store, NETWORK, "old", threads=1)


def test_bytes_that_are_no_graph_are_refused() -> None:
    with pytest.raises(ModelCorrupt, match="can't load"):
        Engine(b"no graph", threads=1)


def test_several_films_at_a_time_get_what_each_gets_alone(files: dict[str, dict[str, bytes]]) -> None:
    engine = Engine(files["v1"]["model.onnx"], threads=1)
    films = golden_inputs(64, 5)
    together = engine.run(films)
    assert (together.logits.shape, together.features.shape[:2]) == ((2, 3), (2, 192))
    for row, film in zip(together.logits, films, strict=True):
        for alone in (False, True):
            assert engine.run(film[None], alone=alone).logits[0] == pytest.approx(row, abs=1e-5)


def with_int8(store: ObjectStore, files: dict[str, dict[str, bytes]], **changes: bytes) -> None:
    """Publishes a version that offers a graph in 8-bit integers; here it is that of v2, to be told apart."""
    content = {**files["v1"], INT8: files["v2"][ONNX], GOLDEN_INT8: files["v2"][GOLDEN], **changes}
    card = model_card(NETWORK, "v3", preprocessing=preprocessing_card(64))
    models.publish(store, card, content)


def test_8_bit_integers_are_served_where_they_are_asked_for_and_offered(
    store: ObjectStore, files: dict[str, dict[str, bytes]]
) -> None:
    with_int8(store, files)
    films = golden_inputs(64, 5)
    own, other = (Engine(files[version][ONNX], 1).logits(films) for version in ("v1", "v2"))
    model = load_model(store, NETWORK, "v3", 1, "onnx-int8")
    assert (model.file, model.engine.logits(films).tolist()) == (INT8, other.tolist())
    model = load_model(store, NETWORK, "v3", 1, "onnx")
    assert (model.file, model.engine.logits(films).tolist()) == (ONNX, own.tolist())
    assert load_model(store, NETWORK, "v1", 1, "onnx-int8").file == ONNX


def test_8_bit_integers_that_answer_their_golden_inputs_otherwise_are_refused(
    store: ObjectStore, files: dict[str, dict[str, bytes]]
) -> None:
    with_int8(store, files, **{GOLDEN_INT8: files["v1"][GOLDEN]})
    with pytest.raises(ModelCorrupt, match="outputs for its golden inputs differ"):
        load_model(store, NETWORK, "v3", 1, "onnx-int8")


def test_torch_serves_the_weights_where_it_is_asked_for(store: ObjectStore, files: dict[str, dict[str, bytes]]) -> None:
    model = load_model(store, NETWORK, "v1", 1, "torch")
    films = golden_inputs(64, 5)
    assert model.file == WEIGHTS
    assert np.allclose(model.engine.logits(films), Engine(files["v1"][ONNX], 1).logits(films), atol=1e-4)
