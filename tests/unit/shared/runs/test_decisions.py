"""Decisions of the promotion gate: read from what the last stage wrote, in this release and before."""

import json
from pathlib import Path

import pytest

from shared.runs.decisions import PromotionDecision, read_decisions
from shared.store.directory import DirectoryStore
from tests.support.builders import small_plan


class TestReadDecisions:
    @pytest.mark.parametrize(
        ("written", "read"),
        [
            (
                {"promoted": True, "version": "v2", "previous": "v1"},
                PromotionDecision(promoted=True, version="v2", previous="v1"),
            ),
            (
                {"promoted": False, "version": "v2", "reason": "it is worse"},
                PromotionDecision(promoted=False, version="v2", reason="it is worse"),
            ),
        ],
        ids=["promoted", "refused"],
    )
    def test_what_the_promote_stage_writes_is_read(
        self, tmp_path: Path, written: dict[str, object], read: PromotionDecision
    ) -> None:
        store, plan = DirectoryStore(tmp_path), small_plan()
        assert read_decisions(store, plan) == {}
        store.put(plan.done_key("promote", "resnet50"), json.dumps(written).encode())
        assert read_decisions(store, plan) == {"resnet50": read}

    def test_a_damaged_decision_does_not_hide_the_run(self, tmp_path: Path) -> None:
        store, plan = DirectoryStore(tmp_path), small_plan()
        store.put(plan.done_key("promote", "resnet50"), b"{")
        assert read_decisions(store, plan) == {}
