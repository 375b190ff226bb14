"""Batches whose messages are lost, told from those that are under way or have ended."""

from datetime import datetime
from pathlib import Path

from shared.api.batches import BatchRequest
from shared.batches import flow
from shared.batches.plan import batch_id, make_batch
from shared.batches.unattended import unattended_batches
from shared.store import layout
from shared.store.directory import DirectoryStore
from tests.support.memory_queue import MemoryQueue


class TestUnattendedBatches:
    def test_a_batch_is_unattended_from_the_loss_of_its_messages_to_its_end(self, tmp_path: Path) -> None:
        store, queue, ended = DirectoryStore(tmp_path), MemoryQueue(), set[str]()
        request = BatchRequest(keys=tuple(f"inbox/{number}.pgm" for number in range(40)))
        plan = make_batch(
            store, batch_id("clinic", None), request, "inbox/", owner="clinic", network="resnet50", version="v1"
        )  # fmt: skip
        flow.begin(store, queue, plan)
        assert unattended_batches(store, queue, ended) == []
        queue.lose_everything()
        assert unattended_batches(store, queue, ended) == [plan.batch]
        store.put(layout.batch_of("clinic", datetime.fromisoformat(plan.created), "f" * 32), b"")  # without a plan
        assert unattended_batches(store, queue, ended) == [plan.batch]
        flow.cancel(store, plan)
        assert unattended_batches(store, queue, ended) == []
        assert ended == {plan.batch}
