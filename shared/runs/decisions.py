"""Decisions of the promotion gate on a run's networks, as the last stage of the run stores them."""

from collections.abc import Iterator

from shared.domain.records import Record
from shared.errors import ObjectNotFound, ObjectUnreadable
from shared.modelling.network_table import Network
from shared.runs.plan import Plan
from shared.store.documents import read_document
from shared.store.interface import ObjectStore


class PromotionDecision(Record):
    """The decision on one network: promoted, with the version before it, or refused, with the reason."""

    promoted: bool
    version: str
    previous: str | None = None
    reason: str | None = None

    def sentence(self, network: Network) -> str:
        """Describe the decision, as `mammo status` prints it."""
        if self.promoted:
            before = f"; before: {self.previous}" if self.previous else ""
            return f"{network} {self.version} was promoted to production{before}"
        return f"{network} {self.version} was NOT promoted, production stays as it is: {self.reason}"


def read_decisions(store: ObjectStore, plan: Plan) -> dict[Network, PromotionDecision]:
    """Read the decisions that the gate has made so far, by network."""
    return dict(_decisions(store, plan))


def _decisions(store: ObjectStore, plan: Plan) -> Iterator[tuple[Network, PromotionDecision]]:
    for network in plan.promote:
        try:
            yield network, read_document(store, plan.done_key("promote", network), PromotionDecision)
        except (ObjectNotFound, ObjectUnreadable):  # not decided yet, or damaged: `mammo doctor` lists it
            continue
