"""The registry: a version is whole or not there, the gate, the way back, and the trail of who moved what."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from shared.errors import InputError, ModelCorrupt, ModelNotFound, PromotionRefused
from shared.modelling.bootstrap import Interval
from shared.modelling.card import ModelCard
from shared.modelling.promotion import PREDICTIONS
from shared.store import layout, models
from shared.store.directory import DirectoryStore
from shared.store.interface import ObjectStore
from tests.support.builders import HeldStore, model_card, model_place, small_predictions
from tests.support.stores import contents

NET = "resnet50"
FILES = {"model.safetensors": b"weights", "model.onnx": b"graph"}


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


def card_with_auc(version: str, value: float, low: float, **changes: Any) -> ModelCard:
    metrics = model_card().metrics
    auc = Interval(value=value, low=low, high=value + 0.05)
    return model_card(version=version, metrics=metrics.model_copy(update={"macro_auc": auc}), **changes)


def publish(store: ObjectStore, *versions: str) -> None:
    for version in versions:
        models.publish(store, model_card(version=version), {"model.onnx": version.encode()})


def promote(store: ObjectStore, version: str, *, force: bool = False) -> models.AliasMove:
    return models.promote(store, NET, version, models.MoveReason(by="somebody", why="a test"), force=force)


def trail(store: ObjectStore) -> list[tuple[str | None, str]]:
    return [(move.previous, move.version) for move in models.history(store, NET)]


class TestPublish:
    def test_a_published_version_is_found_with_its_files_and_digests(self, store: DirectoryStore) -> None:
        card = models.publish(store, model_card(), FILES)
        assert models.read_card(store, NET, "v1") == card
        assert set(card.files) == set(FILES)
        assert {name: models.read_file(store, card, name) for name in FILES} == FILES

    def test_a_version_is_not_there_before_its_last_file(self, tmp_path: Path) -> None:
        class Interrupted(DirectoryStore):
            def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
                if key.endswith("/card.json"):
                    raise KeyboardInterrupt
                return super().put(key, data, if_absent=if_absent, if_match=if_match)

        with pytest.raises(KeyboardInterrupt):
            models.publish(Interrupted(tmp_path), model_card(), FILES)
        store = DirectoryStore(tmp_path)
        assert models.versions(store, NET) == []
        assert models.networks(store) == []
        with pytest.raises(ModelNotFound):
            models.read_card(store, NET, "v1")
        assert models.publish(store, model_card(), FILES) == models.read_card(store, NET, "v1")

    def test_publishing_again_changes_nothing(self, store: DirectoryStore) -> None:
        first = models.publish(store, model_card(), FILES)
        before = contents(store)
        assert models.publish(store, model_card(created="later"), FILES) == first
        assert contents(store) == before

    def test_publishing_other_files_under_the_same_version_changes_nothing(self, store: DirectoryStore) -> None:
        first = models.publish(store, model_card(), FILES)
        before = contents(store)
        assert models.publish(store, model_card(), {**FILES, "model.onnx": b"another graph"}) == first
        assert contents(store) == before
        assert models.read_file(store, first, "model.onnx") == b"graph"

    def test_publishing_again_mends_a_damaged_file(self, store: DirectoryStore) -> None:
        card = models.publish(store, model_card(), FILES)
        store.put(model_place(store, NET, "v1", "model.onnx"), b"damaged")
        models.publish(store, model_card(), FILES)
        assert models.read_file(store, card, "model.onnx") == b"graph"

    def test_networks_and_versions_are_listed_and_nothing_else_is(self, store: DirectoryStore) -> None:
        publish(store, "20240601-a", "20240501-b")
        models.publish(store, model_card("alexnet", "v1"), FILES)
        promote(store, "20240501-b")
        assert models.networks(store) == ["alexnet", NET]
        assert models.versions(store, NET) == ["20240501-b", "20240601-a"]
        assert models.versions(store, "modified_cnn") == []

    def test_an_unknown_version_is_told_with_those_that_there_are(self, store: DirectoryStore) -> None:
        publish(store, "v1", "v2")
        with pytest.raises(ModelNotFound, match=r"no version 'v3'; there are: v1, v2"):
            models.read_card(store, NET, "v3")
        with pytest.raises(ModelNotFound, match="there are: none"):
            models.read_card(store, "alexnet", "v1")

    @pytest.mark.parametrize(("network", "version"), [("../raw", "v1"), (NET, "../../raw"), (NET, "")])
    def test_names_that_leave_the_registry_are_refused(self, store: DirectoryStore, network: str, version: str) -> None:
        with pytest.raises(InputError, match="is not a name"):
            models.read_card(store, network, version)

    @pytest.mark.parametrize("damaged", [b"another", None], ids=["changed", "missing"])
    def test_a_damaged_file_is_noticed_when_it_is_read(self, store: DirectoryStore, damaged: bytes | None) -> None:
        card = models.publish(store, model_card(), FILES)
        key = model_place(store, NET, "v1", "model.onnx")
        store.delete(key)
        if damaged is not None:
            store.put(key, damaged)
        with pytest.raises(ModelCorrupt, match=key):
            models.read_file(store, card, "model.onnx")


OTHERS = {"model.safetensors": b"weights", "model.onnx": b"the graph of another machine"}


class TestConcurrentPublish:
    @pytest.mark.parametrize("at", [1, 2, 3])
    @pytest.mark.parametrize("theirs", [FILES, OTHERS], ids=["the same files", "other files"])
    def test_a_version_that_is_published_by_two_at_once_is_whole(
        self, both_stores: ObjectStore, at: int, theirs: dict[str, bytes]
    ) -> None:
        slow = HeldStore(both_stores, at)
        with ThreadPoolExecutor(1) as thread:
            late = thread.submit(models.publish, slow, model_card(created="earlier"), FILES)
            assert slow.waits.wait(30)
            first = models.publish(both_stores, model_card(created="later"), theirs)
            slow.go.set()
            assert late.result() == first
        assert models.read_card(both_stores, NET, "v1") == first
        assert {name: models.read_file(both_stores, first, name) for name in first.files} == theirs
        assert set(both_stores.list(layout.models())) == {
            layout.model_card(NET, "v1"),
            *(models.file_key(first, name) for name in theirs),
        }

    def test_files_of_a_publication_that_broke_off_are_removed_by_the_next_one(self, store: DirectoryStore) -> None:
        for name, data in OTHERS.items():
            store.put(layout.model_file(NET, "v1", "0" * 64, name), data)
        card = models.publish(store, model_card(), FILES)
        assert set(store.list("")) == {layout.model_card(NET, "v1"), *(models.file_key(card, name) for name in FILES)}

    def test_a_version_of_before_has_its_files_beside_its_card(self, store: DirectoryStore) -> None:
        card = model_card(files={name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()})
        store.put("models/resnet50/v1/card.json", card.model_dump_json().encode())
        for name, data in FILES.items():
            store.put(f"models/resnet50/v1/{name}", data)
        assert {name: models.read_file(store, card, name) for name in FILES} == FILES
        assert promote(store, "v1").version == "v1"
        store.put("models/resnet50/v1/model.onnx", b"damaged")
        with pytest.raises(ModelCorrupt, match="differs from its card's SHA-256"):
            models.read_file(store, card, "model.onnx")
        models.publish(store, model_card(), FILES)
        assert models.read_file(store, card, "model.onnx") == b"graph"


class TestPromotionGate:
    def test_the_first_version_is_promoted_with_who_and_why(self, store: DirectoryStore) -> None:
        publish(store, "v1")
        move = promote(store, "v1")
        assert (move.network, move.alias, move.version, move.previous) == (NET, "production", "v1", None)
        assert (move.by, move.why, move.forced) == ("somebody", "a test", False)
        assert models.read_alias(store, NET) == move
        assert models.history(store, NET) == [move]

    def test_what_was_never_promoted_is_told(self, store: DirectoryStore) -> None:
        publish(store, "v1")
        with pytest.raises(ModelNotFound, match="mammo models promote resnet50"):
            models.read_alias(store, NET)

    def test_an_unknown_version_is_not_promoted(self, store: DirectoryStore) -> None:
        with pytest.raises(ModelNotFound):
            promote(store, "v1", force=True)

    def test_promoting_what_is_promoted_moves_nothing(self, store: DirectoryStore) -> None:
        publish(store, "v1")
        first = promote(store, "v1")
        assert promote(store, "v1") == first
        assert models.history(store, NET) == [first]

    @pytest.mark.parametrize("force", [False, True])
    @pytest.mark.parametrize("damaged", [b"another", None], ids=["changed", "missing"])
    def test_a_damaged_version_is_never_promoted(
        self, store: DirectoryStore, force: bool, damaged: bytes | None
    ) -> None:
        publish(store, "v1", "v2")
        promote(store, "v1")
        store.delete(model_place(store, NET, "v2", "model.onnx"))
        if damaged is not None:
            store.put(model_place(store, NET, "v2", "model.onnx"), damaged)
        with pytest.raises(ModelCorrupt):
            promote(store, "v2", force=force)
        assert models.read_alias(store, NET).version == "v1"

    @pytest.mark.parametrize("force", [False, True])
    def test_a_model_of_the_leaky_protocol_is_never_promoted(self, store: DirectoryStore, force: bool) -> None:
        models.publish(store, model_card(protocol="paper"), FILES)
        with pytest.raises(PromotionRefused, match="leaky"):
            promote(store, "v1", force=force)
        with pytest.raises(ModelNotFound):
            models.read_alias(store, NET)

    @pytest.mark.parametrize(
        ("worse", "reason"),
        [
            (model_card(version="v2", synthetic=True, dataset="other"), "synthetic films"),
            (card_with_auc("v2", value=0.59, low=0.5, synthetic=False), r"0\.590 is below the interval of v1.*0\.600"),
            (
                card_with_auc("v2", value=0.99, low=0.9, synthetic=False, dataset="other"),
                "on data set other and v1",
            ),
        ],
        ids=["synthetic", "clearly worse", "other data"],
    )
    def test_the_gate_refuses_and_is_passed_by_force_alone(
        self, store: DirectoryStore, worse: ModelCard, reason: str
    ) -> None:
        models.publish(store, card_with_auc("v1", value=0.7, low=0.6, synthetic=False), FILES)
        models.publish(store, worse, FILES)
        promote(store, "v1")
        with pytest.raises(PromotionRefused, match=reason):
            promote(store, "v2")
        assert models.read_alias(store, NET).version == "v1"
        assert promote(store, "v2", force=True).forced
        assert models.read_alias(store, NET).version == "v2"

    @pytest.mark.parametrize(
        "candidate",
        [
            card_with_auc("v2", value=0.61, low=0.5, synthetic=False),
            card_with_auc("v2", value=0.9, low=0.8, synthetic=False),
        ],
        ids=["within the interval", "better"],
    )
    def test_what_is_not_clearly_worse_passes(self, store: DirectoryStore, candidate: ModelCard) -> None:
        models.publish(store, card_with_auc("v1", value=0.7, low=0.6, synthetic=False), FILES)
        models.publish(store, candidate, FILES)
        promote(store, "v1")
        assert promote(store, "v2").previous == "v1"

    def test_a_real_model_may_replace_a_synthetic_one(self, store: DirectoryStore) -> None:
        models.publish(store, model_card(version="v1", synthetic=True), FILES)
        models.publish(store, model_card(version="v2", synthetic=False, dataset="mias"), FILES)
        promote(store, "v1")
        assert promote(store, "v2").version == "v2"

    def test_an_alias_of_another_name_leaves_production_alone(self, store: DirectoryStore) -> None:
        publish(store, "v1", "v2")
        promote(store, "v1")
        models.promote(store, NET, "v2", models.MoveReason(by="somebody", why="a try"), alias="canary")
        assert models.read_alias(store, NET).version == "v1"
        assert models.read_alias(store, NET, "canary").version == "v2"

    def test_a_candidate_is_compared_with_nothing_but_must_be_whole_and_honest(self, store: DirectoryStore) -> None:
        models.publish(store, card_with_auc("v1", value=0.9, low=0.8), FILES)
        models.publish(store, card_with_auc("v2", value=0.5, low=0.4), FILES)
        models.publish(store, model_card(version="v3", protocol="paper"), FILES)
        for version in ("v1", "v2"):
            models.promote(store, NET, version, models.MoveReason(by="somebody", why="a try"), alias=models.CANDIDATE)
        with pytest.raises(PromotionRefused, match="leaky"):
            models.promote(store, NET, "v3", models.MoveReason(by="somebody", why="a try"), alias=models.CANDIDATE)
        assert models.read_alias(store, NET, models.CANDIDATE).version == "v2"

    def test_versions_with_their_predictions_are_compared_film_by_film(self, store: DirectoryStore) -> None:
        good = small_predictions()
        poor = good.with_rows(good.rows[:, ::-1])
        for version, predictions in (("v1", good), ("v2", poor)):
            files = {**FILES, PREDICTIONS: predictions.model_dump_json().encode()}
            models.publish(store, model_card(version=version), files)  # the cards name the same figures
        promote(store, "v1")
        with pytest.raises(PromotionRefused, match="on the 12 films that both held out"):
            promote(store, "v2")
        assert promote(store, "v2", force=True).forced

    def test_only_what_is_better_is_promoted_where_that_is_asked_for(self, store: DirectoryStore) -> None:
        publish(store, "v1", "v2")
        models.publish(store, card_with_auc("v3", value=0.99, low=0.9), FILES)
        for version, passes in (("v1", True), ("v2", False), ("v3", True)):
            with nullcontext() if passes else pytest.raises(PromotionRefused, match="no better than"):
                models.promote(store, NET, version, models.MoveReason(by="a run", why="a test"), only_if_better=True)
        assert models.read_alias(store, NET).version == "v3"

    @pytest.mark.parametrize("harm", ["its card is gone", "its card is damaged", "its predictions are gone"])
    def test_what_can_not_be_compared_with_the_version_in_production_needs_force(
        self, store: DirectoryStore, harm: str
    ) -> None:
        for version in ("v1", "v2"):
            files = {"model.onnx": version.encode(), PREDICTIONS: small_predictions().model_dump_json().encode()}
            models.publish(store, model_card(version=version), files)
        promote(store, "v1")
        if harm == "its predictions are gone":
            store.delete(model_place(store, NET, "v1", PREDICTIONS))
        elif harm == "its card is damaged":
            store.put(layout.model_card(NET, "v1"), b"{}")
        else:
            store.delete(layout.model_card(NET, "v1"))
        with pytest.raises(
            PromotionRefused, match=r"resnet50 v1, which is in production, is (deleted|damaged).*--force"
        ):
            promote(store, "v2")
        assert promote(store, "v2", force=True).previous == "v1"


class Dying(DirectoryStore):
    """Dies where it would write a new line of the audit trail."""

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        if key.startswith(layout.audit(NET)) and not self.exists(key):
            raise KeyboardInterrupt
        return super().put(key, data, if_absent=if_absent, if_match=if_match)


@pytest.fixture
def crashed(store: DirectoryStore) -> DirectoryStore:
    """v1 was promoted, and then v2 by a process that died before it had noted it."""
    publish(store, "v1", "v2", "v3")
    promote(store, "v1")
    with pytest.raises(KeyboardInterrupt):
        promote(Dying(store.root), "v2")
    assert models.read_alias(store, NET).version == "v2"
    assert len(list(store.list(layout.audit(NET)))) == 1
    return store


class Overtaken(DirectoryStore):
    """Once the alias was read, and before it is read or written again, somebody else promotes `rival`."""

    def __init__(self, root: Path, rival: str) -> None:
        super().__init__(root)
        self.rival, self.uses = rival, 0

    def get(self, key: str) -> bytes:
        self._overtake(key)
        return super().get(key)

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        self._overtake(key)
        return super().put(key, data, if_absent=if_absent, if_match=if_match)

    def _overtake(self, key: str) -> None:
        if key == layout.alias(NET, "production"):
            self.uses += 1
            if self.uses == 2:
                promote(DirectoryStore(self.root), self.rival)


class TestRollbackAndHistory:
    def test_rollback_points_to_the_version_before(self, store: DirectoryStore) -> None:
        publish(store, "v1", "v2")
        promote(store, "v1")
        promote(store, "v2")
        back = models.rollback(store, NET, models.MoveReason(by="somebody else", why="it was worse"))
        assert (back.version, back.previous, back.by) == ("v1", "v2", "somebody else")
        assert models.read_alias(store, NET) == back

    def test_each_rollback_goes_further_back_and_never_to_what_was_left_behind(self, store: DirectoryStore) -> None:
        publish(store, "v1", "v2", "v3", "v4")
        for version in ("v1", "v2", "v3"):
            promote(store, version)
        why = models.MoveReason(by="somebody", why="it was worse")
        assert [models.rollback(store, NET, why).version for _ in range(2)] == ["v2", "v1"]
        with pytest.raises(ModelNotFound, match="nothing to roll back to"):
            models.rollback(store, NET, why)
        promote(store, "v4")
        assert models.rollback(store, NET, why).version == "v1"

    def test_the_rollbacks_of_one_alias_do_not_touch_the_other(self, store: DirectoryStore) -> None:
        publish(store, "v1", "v2", "v3")
        for version, alias in (("v1", "production"), ("v3", "candidate"), ("v2", "production")):
            models.promote(store, NET, version, models.MoveReason(by="somebody", why="a test"), force=True, alias=alias)
        assert models.rollback(store, NET, models.MoveReason(by="somebody", why="a test")).version == "v1"
        assert models.read_alias(store, NET, "candidate").version == "v3"

    def test_the_first_promotion_can_not_be_rolled_back(self, store: DirectoryStore) -> None:
        publish(store, "v1")
        promote(store, "v1")
        with pytest.raises(ModelNotFound, match="nothing to roll back to"):
            models.rollback(store, NET, models.MoveReason(by="somebody", why="a test"))
        with pytest.raises(ModelNotFound):
            models.rollback(store, "alexnet", models.MoveReason(by="somebody", why="a test"))

    def test_a_version_that_has_gone_is_not_rolled_back_to(self, store: DirectoryStore) -> None:
        publish(store, "v1", "v2")
        promote(store, "v1")
        promote(store, "v2")
        store.delete(layout.model_card(NET, "v1"))
        with pytest.raises(ModelNotFound, match="resnet50 v1, which was 'production' before v2, is deleted"):
            models.rollback(store, NET, models.MoveReason(by="somebody", why="a test"))
        assert models.read_alias(store, NET).version == "v2"

    def test_the_trail_holds_every_move_in_its_order(self, store: DirectoryStore) -> None:
        publish(store, "v1", "v2", "v3")
        moves = [promote(store, version) for version in ("v1", "v2", "v3")]
        moves.append(models.rollback(store, NET, models.MoveReason(by="somebody", why="a test")))
        assert models.history(store, NET) == moves
        assert trail(store) == [(None, "v1"), ("v1", "v2"), ("v2", "v3"), ("v3", "v2")]
        assert [move.when for move in moves] == sorted(move.when for move in moves)

    def test_the_trail_is_readable_json_of_one_object_a_move(self, store: DirectoryStore) -> None:
        publish(store, "v1")
        promote(store, "v1")
        (key,) = store.list(layout.audit(NET))
        assert json.loads(store.get(key))["version"] == "v1"

    def test_a_move_whose_line_was_lost_to_a_crash_is_in_the_trail_afterwards_once(
        self, crashed: DirectoryStore
    ) -> None:
        for _ in range(2):
            assert trail(crashed) == [(None, "v1"), ("v1", "v2")]
        assert len(list(crashed.list(layout.audit(NET)))) == 2
        assert models.history(crashed, NET)[-1] == models.read_alias(crashed, NET)

    def test_a_move_whose_line_was_lost_is_noted_before_the_next_move(self, crashed: DirectoryStore) -> None:
        promote(crashed, "v3")
        assert len(list(crashed.list(layout.audit(NET)))) == 3
        assert trail(crashed) == [(None, "v1"), ("v1", "v2"), ("v2", "v3")]

    def test_a_move_whose_line_was_lost_is_noted_before_it_is_rolled_back(self, crashed: DirectoryStore) -> None:
        models.rollback(crashed, NET, models.MoveReason(by="somebody", why="a test"))
        assert len(list(crashed.list(layout.audit(NET)))) == 3
        assert trail(crashed) == [(None, "v1"), ("v1", "v2"), ("v2", "v1")]

    def test_the_first_move_of_all_is_in_the_trail_although_its_process_died(self, store: DirectoryStore) -> None:
        publish(store, "v1")
        with pytest.raises(KeyboardInterrupt):
            promote(Dying(store.root), "v1")
        assert models.read_alias(store, NET).version == "v1"
        assert list(store.list(layout.audit(NET))) == []
        assert promote(store, "v1").version == "v1"  # the worker comes again; nothing is left to move
        assert trail(store) == [(None, "v1")]
        assert trail(store) == [(None, "v1")]

    def test_a_lost_line_of_another_alias_is_found_as_well(self, store: DirectoryStore) -> None:
        publish(store, "v1")
        move = models.promote(store, NET, "v1", models.MoveReason(by="somebody", why="a try"), alias="canary")
        for line in list(store.list(layout.audit(NET))):
            store.delete(line)
        assert models.history(store, NET) == [move]

    def test_racing_promotions_leave_an_alias_that_the_trail_explains(self, store: DirectoryStore) -> None:
        versions = [f"v{number}" for number in range(8)]
        publish(store, *versions)

        def attempt(version: str) -> bool:
            try:
                promote(store, version, force=True)
            except PromotionRefused:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            won = [version for version, moved in zip(versions, pool.map(attempt, versions), strict=True) if moved]
        moves = models.history(store, NET)
        assert sorted(move.version for move in moves) == sorted(won)
        # Each move begins where another one ended, from none to what the alias points to.
        following = {move.previous: move.version for move in moves}
        path: list[str | None] = [None]
        while path[-1] in following:
            path.append(following[path[-1]])
        assert path[-1] == models.read_alias(store, NET).version
        assert len(path) == len(moves) + 1

    def test_a_promotion_that_is_overtaken_does_not_pass_the_gate_unseen(self, tmp_path: Path) -> None:
        store = DirectoryStore(tmp_path)
        for card in (
            card_with_auc("poor", 0.6, 0.5),
            card_with_auc("fair", 0.7, 0.6),
            card_with_auc("good", 0.9, 0.85),
        ):
            models.publish(store, card, FILES)
        promote(store, "poor")
        # "fair" may follow "poor", but not "good", which arrives while "fair" is being compared.
        with pytest.raises(PromotionRefused):
            promote(Overtaken(tmp_path, "good"), "fair")
        assert models.read_alias(store, NET).version == "good"

    def test_a_rollback_that_is_overtaken_goes_back_one_step_or_not_at_all(self, tmp_path: Path) -> None:
        store = DirectoryStore(tmp_path)
        publish(store, "v1", "v2", "v3")
        promote(store, "v1")
        promote(store, "v2")
        with pytest.raises(PromotionRefused):
            models.rollback(Overtaken(tmp_path, "v3"), NET, models.MoveReason(by="somebody", why="v2 is worse"))
        assert models.read_alias(store, NET).version == "v3"

    def test_the_trail_is_in_order_when_a_promotion_is_overtaken(self, tmp_path: Path) -> None:
        store = DirectoryStore(tmp_path)
        publish(store, "v1", "v2", "v3")
        promote(store, "v1")
        with suppress(PromotionRefused):
            promote(Overtaken(tmp_path, "v2"), "v3", force=True)
        versions = [version for _, version in trail(store)]
        assert [previous for previous, _ in trail(store)] == [None, *versions[:-1]]
        assert versions[-1] == models.read_alias(store, NET).version
