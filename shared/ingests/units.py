"""Units of an ingest as messages, and as the tasks of a worker.

The plan of an ingest names its source, not what is in it: every worker reads the tables itself, so no row of them, and
no id of a patient, is stored or sent. A worker has to see the source at the same path.
"""

import secrets
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from shared.datasets.entries import FilmSource
from shared.datasets.mapping import Mapping
from shared.datasets.pseudonyms import Pseudonyms
from shared.datasets.sources import open_source
from shared.domain.records import Record
from shared.errors import DatasetError, ObjectNotFound, RunNotFound
from shared.queue.attempts import code_of
from shared.queue.broker import Broker
from shared.queue.messages import Message, Queue
from shared.queue.unit_task import UnitTask
from shared.settings import IngestSettings
from shared.store import layout
from shared.store.documents import document, parse_document
from shared.store.ingest import Ingested, ProgressCallback, begin, finish, read_stored
from shared.store.ingest_units import UNIT_FILMS, Ingestion, UnitResult, do_unit, finished_unit
from shared.store.interface import ObjectStore

_PAUSE_S = 0.5


class IngestPlan(Record):
    """What a worker needs to read the same source: paths, and the mapping.

    `attempt` differs each time, so that a worker opens a source anew whose files have changed.
    """

    schema_number = 2

    dataset: str
    source: str
    mapping: Mapping | None = None
    tables: tuple[str, ...] = ()
    attempt: str = ""


class IngestUnit(NamedTuple):
    """A unit with its ingest."""

    ingestion: Ingestion
    number: int


class IngestTask(UnitTask[IngestUnit]):
    """Units of ingests: some films each."""

    def __init__(self, settings: IngestSettings) -> None:
        super().__init__("ingest")
        self._settings = settings

    def load(self, store: ObjectStore, message: Message) -> IngestUnit:
        """Open the source of an ingest.

        Raises:
            RunNotFound: the ingest has ended.
            DatasetError: the worker sees other films.
            ObjectUnreadable: the plan of the ingest is damaged.
            ObjectOfLaterRelease: only a later release can read it.
        """
        dataset, _, ingest = message.run.partition("/")
        try:
            plan = store.get(layout.ingest_plan(dataset, ingest))
        except ObjectNotFound:
            raise RunNotFound("the ingest has ended") from None
        ingestion = _opened(store, layout.ingest_plan(dataset, ingest), plan, self._settings)
        if ingestion.id != ingest:
            raise DatasetError(f"data set '{dataset}'", "the worker sees other films; mount the same source")
        return IngestUnit(ingestion, int(message.unit))

    def done_key(self, unit: IngestUnit) -> str:
        return unit.ingestion.unit_key(unit.number)

    def is_cancelled(self, _store: ObjectStore, _unit: IngestUnit) -> bool:
        return False

    def is_done(self, store: ObjectStore, unit: IngestUnit) -> bool:
        return finished_unit(store, unit.ingestion, unit.number) is not None

    def execute(self, store: ObjectStore, _broker: Broker, unit: IngestUnit, _stopping: Callable[[], bool]) -> None:
        do_unit(store, unit.ingestion, unit.number)

    def advance(self, store: ObjectStore, broker: Broker, unit: IngestUnit) -> None:
        """Do nothing: whoever enqueued the units waits for them."""

    def on_failure(self, store: ObjectStore, _broker: Broker, message: Message, error: Exception) -> str:
        """Store the code alone: the text of an error names a file."""
        dataset, _, ingest = message.run.partition("/")
        store.put(layout.ingest_failure(dataset, ingest, message.unit), code_of(error).encode())
        return code_of(error)


def ingest_by_workers(
    store: ObjectStore,
    queue: Queue,
    plan: IngestPlan,
    settings: IngestSettings,
    progress: ProgressCallback = lambda *_: None,
    *,
    strict: bool = False,
    append: bool = False,
) -> Ingested:
    """Enqueue the units of an ingest that are not done, wait for them, and make the data set of them.

    Raises:
        DatasetError: the source is invalid, a unit was given up, or other films are stored under this name.
        QueueUnavailable: the broker is away; what is done stays done.
    """
    layout.check_name("data set", plan.dataset)
    stored = read_stored(store, plan.dataset)
    ingestion = begin(store, _source(plan, settings), plan.dataset, stored)
    plan = plan.model_copy(update={"attempt": secrets.token_hex(8)})
    store.put(layout.ingest_plan(plan.dataset, ingestion.id), document(plan))
    results: dict[int, UnitResult] = {}
    _collect(store, ingestion, results)
    missing = [unit for unit in ingestion.units if unit not in results]
    for unit in missing:
        store.delete(layout.ingest_failure(plan.dataset, ingestion.id, f"{unit:06d}"))
        store.delete(ingestion.unit_key(unit))  # one with a film that can't be used is tried again
    queue.enqueue(f"{plan.dataset}/{ingestion.id}", "ingest", [f"{unit:06d}" for unit in missing])
    total = len(ingestion.entries)
    while len(results) < len(ingestion.units):
        progress("ingesting films", min(len(results) * UNIT_FILMS, total), total)
        time.sleep(_PAUSE_S)
        _collect(store, ingestion, results, whole=False)
        if len(results) < len(ingestion.units) and not store.exists(layout.ingest_plan(plan.dataset, ingestion.id)):
            raise DatasetError(f"data set '{plan.dataset}'", "another ingest of it ended; run the command again")
        _check_failures(store, ingestion)
    progress("ingesting films", total, total)
    ordered = [results[unit] for unit in ingestion.units]
    if strict and any(remark.kind == "image can't be used" for result in ordered for remark in result.remarks):
        raise DatasetError(f"data set '{plan.dataset}'", "a film can't be used; without --strict it is left out")
    return finish(store, ingestion, stored, ordered, sum(len(results[unit].films) for unit in missing), append=append)


def _collect(store: ObjectStore, ingestion: Ingestion, results: dict[int, UnitResult], *, whole: bool = True) -> None:
    present = set(store.list(layout.ingest_units(ingestion.dataset, ingestion.id)))
    for unit in ingestion.units:
        if unit not in results and ingestion.unit_key(unit) in present:
            found = finished_unit(store, ingestion, unit, whole=whole)
            if found:
                results[unit] = found


def _check_failures(store: ObjectStore, ingestion: Ingestion) -> None:
    for key in store.list(layout.ingest_units(ingestion.dataset, ingestion.id)):
        if key.endswith(".failed"):
            raise DatasetError(
                f"data set '{ingestion.dataset}'",
                f"a worker gave up ({store.get(key).decode()}); see its log, and run the command again",
            )


def _source(plan: IngestPlan, settings: IngestSettings) -> FilmSource:
    hides = plan.mapping is not None and plan.mapping.pseudonyms
    pseudonyms = Pseudonyms(settings.key) if hides else None
    return open_source(Path(plan.source), plan.mapping, tuple(map(Path, plan.tables)), pseudonyms)


@lru_cache(maxsize=1)
def _opened(store: ObjectStore, key: str, plan: bytes, settings: IngestSettings) -> Ingestion:
    read = parse_document(key, plan, IngestPlan)
    return begin(store, _source(read, settings), read.dataset, read_stored(store, read.dataset))
