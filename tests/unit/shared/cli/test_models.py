"""Commands about models: promotion, rollback, history, and versions that are deleted or damaged."""

import json

import jsonschema
import pytest

from shared.errors import InputError, ModelCorrupt, PromotionRefused
from shared.store import models
from shared.store.directory import DirectoryStore
from tests.support.builders import model_card
from tests.support.commands import mammo


class TestModels:
    def test_promotion_rollback_and_history_by_hand(self, store: DirectoryStore) -> None:
        for version in ("v1", "v2"):
            models.publish(store, model_card("resnet50", version), {"model.onnx": version.encode()})
        assert "v1 is in production" in mammo("models", "promote", "resnet50", "v1", "--reason", "first")
        assert "before: v1" in mammo("models", "promote", "resnet50", "v2")
        assert "v1 is in production" in mammo("models", "rollback", "resnet50", "--reason", "v2 was slow")
        listed = [line for line in mammo("models", "list").splitlines() if "production" in line]
        assert len(listed) == 1
        assert "v1" in listed[0]
        assert "v2 was slow" in mammo("models", "history", "resnet50")
        assert "v2 is the candidate" in mammo("models", "promote", "resnet50", "v2", "--alias", "candidate")
        assert "candidate" in mammo("models", "list")
        with pytest.raises(InputError, match="with --reason"):
            mammo("models", "promote", "resnet50", "v2", "--force")
        with pytest.raises(InputError, match="choose one of production, candidate"):
            mammo("models", "rollback", "resnet50", "--alias", "staging")
        card = json.loads(mammo("models", "card", "resnet50", "v1"))
        jsonschema.validate(card, json.loads(mammo("models", "schema")))

    def test_a_version_in_production_that_was_deleted_is_shown_as_such(self, store: DirectoryStore) -> None:
        for version in ("v1", "v2"):
            models.publish(store, model_card("resnet50", version), {"model.onnx": version.encode()})
        mammo("models", "promote", "resnet50", "v1")
        for key in list(store.list("models/resnet50/v1/")):
            store.delete(key)
        (shown,) = [line for line in mammo("models", "list").splitlines() if "production" in line]
        assert shown.split() == ["v1", "resnet50", "DELETED", "production"]
        with pytest.raises(PromotionRefused, match=r"resnet50 v1, which is in production, is deleted.*--force"):
            mammo("models", "promote", "resnet50", "v2")
        assert "v2 is in production" in mammo(
            "models", "promote", "resnet50", "v2", "--force", "--reason", "v1 is gone"
        )
        for key in list(store.list("models/resnet50/v2/")):
            store.delete(key)
        (shown,) = [line for line in mammo("models", "list").splitlines() if "production" in line]
        assert shown.split() == ["v2", "resnet50", "DELETED", "production"]

    def test_a_version_whose_card_is_damaged_is_shown_as_such(self, store: DirectoryStore) -> None:
        models.publish(store, model_card("resnet50", "v1"), {"model.onnx": b"graph"})
        store.put("models/resnet50/v1/card.json", b"{}")
        assert "DAMAGED" in mammo("models", "list")
        with pytest.raises(ModelCorrupt, match=r"v1/card\.json is damaged or written by another release"):
            mammo("models", "card", "resnet50", "v1")
