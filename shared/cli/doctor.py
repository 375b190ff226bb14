"""The command `mammo doctor`: find the stored records that can't be read, what each costs, and what replaces it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from shared.batches.flow import BatchEnd
from shared.batches.plan import BatchPlan
from shared.cli.console import console, reporting
from shared.domain.films import Dataset, FilmShard, Shard
from shared.domain.records import Record
from shared.errors import ObjectNotFound, ObjectOfLaterRelease, ObjectUnreadable, StoreError
from shared.evaluations.plan import EvaluationPlan, JudgedShard
from shared.modelling.card import ModelCard
from shared.queue.claim import Claim
from shared.runs.decisions import PromotionDecision
from shared.runs.pipeline import Failure, StageMarker
from shared.runs.plan import Plan
from shared.settings import StoreSettings, read_settings
from shared.store import layout
from shared.store.api_keys import KeyRing
from shared.store.documents import parse_document
from shared.store.interface import ObjectStore
from shared.store.models import AliasMove
from shared.store.objects import open_store


class _AnyObject(Record):
    """A JSON object whose form belongs to a service."""

    schema_number = 2


@dataclass(frozen=True)
class _Kind:
    """A kind of stored record: the keys that it has, its form, what an unreadable one costs, and what replaces it."""

    keys: str
    form: type[Record]
    cost: str
    remedy: str


_KINDS = (
    _Kind(
        r"raw/(?P<d>[^/]+)/manifest\.json",
        Dataset,
        "no run over the data set starts or goes on",
        "mammo ingest SOURCE --dataset {d}",
    ),
    _Kind(
        r"raw/(?P<d>[^/]+)/(?:[0-9a-f]{{64}}/)?manifests/[^/]+\.json",
        FilmShard,
        "its films can't be augmented",
        "delete it, then mammo ingest SOURCE --dataset {d}",
    ),
    _Kind(
        r"raw/(?P<d>[^/]+)/[0-9a-f]{{64}}/units/[^/]+\.json",
        _AnyObject,
        "its films are read again, or workers stop with them",
        "mammo ingest SOURCE --dataset {d}",
    ),
    _Kind(
        r"data_(?:augmentation|segmentation)/[^/]+/[^/]+/manifests/[^/]+\.json",
        Shard,
        "its images count as missing",
        "mammo resume RUN makes them again",
    ),
    _Kind(
        r"runs/(?P<r>[^/]+)/plan\.json",
        Plan,
        "the run can't go on",
        "restore it, or start a new run with mammo run, which reuses all images",
    ),
    _Kind(r"runs/(?P<r>[^/]+)/stages/[^/]+\.json", StageMarker, "nothing: it is replaced", "mammo resume {r}"),
    _Kind(r"runs/(?P<r>[^/]+)/claims/.+\.json", Claim, "nothing: the next worker replaces it", "mammo resume {r}"),
    _Kind(r"runs/(?P<r>[^/]+)/training/.+/result\.json", _AnyObject, "the job counts as missing", "mammo resume {r}"),
    _Kind(r"runs/(?P<r>[^/]+)/splits/.+\.json", _AnyObject, "nothing: the next job computes it", "mammo resume {r}"),
    _Kind(r"runs/(?P<r>[^/]+)/report/digests\.json", _AnyObject, "the report counts as missing", "mammo resume {r}"),
    _Kind(
        r"runs/(?P<r>[^/]+)/promoted/[^/]+\.json",
        PromotionDecision,
        "the status of the run doesn't say how the promotion gate decided",
        "delete it, then mammo resume {r}",
    ),
    _Kind(
        r"failed/gateway/.+\.json",
        _AnyObject,
        "the reason why an exam was set aside is lost, and it is tried again",
        "mammo gateway retry",
    ),
    _Kind(r"failed/(?P<r>[^/]+)/.+\.json", Failure, "the reason of a failure is lost", "mammo resume {r}"),
    _Kind(
        r"models/(?P<n>[^/]+)/aliases/(?P<a>[^/]+)\.json",
        AliasMove,
        "services keep the model that they have; new ones get none",
        "mammo models promote {n} VERSION --alias {a}",
    ),
    _Kind(
        r"models/(?P<n>[^/]+)/audit/[^/]+\.json",
        AliasMove,
        "a line of the audit trail is lost",
        "restore it from a backup",
    ),
    _Kind(
        r"models/(?P<n>[^/]+)/(?P<v>[^/]+)/card\.json",
        ModelCard,
        "the version can't be served or promoted",
        "restore it, or promote another version: mammo models promote {n} VERSION",
    ),
    _Kind(
        r"batches/(?P<b>[^/]+)/plan\.json",
        BatchPlan,
        "the batch has no state and can't go on; its answers stay",
        "restore it, or make a new batch",
    ),
    _Kind(r"batches/(?P<b>[^/]+)/end\.json", BatchEnd, "the batch looks unfinished", "mammo batch resume {b}"),
    _Kind(
        r"evaluations/(?P<e>[^/]+)/plan\.json",
        EvaluationPlan,
        "the evaluation can't go on",
        "give the same mammo evaluate command again",
    ),
    _Kind(
        r"evaluations/(?P<e>[^/]+)/films/[^/]+\.json",
        JudgedShard,
        "its films count as not judged",
        "give the same mammo evaluate command again",
    ),
    _Kind(
        r"evaluations/(?P<e>[^/]+)/report/digests\.json",
        _AnyObject,
        "the report counts as missing",
        "give the same mammo evaluate command again",
    ),
    _Kind(
        r"gateway/outbox/[^/]+\.json",
        _AnyObject,
        "the exam is predicted again, and all destinations get the new results",
        "none while its films are found; mammo gateway retry if it is set aside; delete it if its films are gone",
    ),
    _Kind(
        r"gateway/forgotten/[^/]+\.json",
        _AnyObject,
        "films of the exam that are still in the inbox are predicted again",
        "none while such films are there; otherwise delete it",
    ),
    _Kind(
        r"access/keys\.json",
        KeyRing,
        "services keep the keys that they have; new ones answer nobody",
        "restore it, or mammo keys create NAME --scope SCOPE --anew",
    ),
)
_GATEWAY = ("gateway/outbox/", "gateway/forgotten/")
"""Prefixes of the gateway that an operator may read; its inbox holds films with their headers."""

_PATTERNS = [(re.compile(kind.keys.replace("{{", "{").replace("}}", "}")), kind) for kind in _KINDS]


@dataclass(frozen=True)
class Trouble:
    """A stored record that can't be read: why, what that costs, and what to do."""

    key: str
    reason: str
    cost: str
    remedy: str


def find_troubles(store: ObjectStore) -> Iterator[Trouble]:
    """Read every record of a store and yield those that can't be read, in the order of their keys."""
    below = chain.from_iterable(store.list(prefix) for prefix in (*layout.TOP, *_GATEWAY))
    keys = chain(filter(store.exists, (layout.api_keys(),)), below)
    for key in keys:
        for pattern, kind in _PATTERNS:
            if found := pattern.fullmatch(key):
                if trouble := _trouble(store, key, kind, found.groupdict()):
                    yield trouble
                break


def doctor() -> None:
    """List the stored records that can't be read, what each costs, and the remedy."""
    store = open_store(read_settings(StoreSettings))
    with reporting() as report:
        report("reading records", 0, 0)
        troubles = list(find_troubles(store))
    for trouble in troubles:
        console.print(f"{trouble.key}: {trouble.reason}", markup=False)
        console.print(f"  costs: {trouble.cost}\n  remedy: {trouble.remedy}", markup=False)
    if troubles:
        count = "1 record" if len(troubles) == 1 else f"{len(troubles)} records"
        raise StoreError(f"{count} of the store can't be read; the remedy of each is listed above")
    console.print("all records of the store can be read")


def _trouble(store: ObjectStore, key: str, kind: _Kind, names: dict[str, str]) -> Trouble | None:
    try:
        data = store.get(key)
        parse_document(key, data, kind.form)
    except ObjectNotFound:  # deleted since it was listed
        return None
    except ObjectUnreadable as error:
        return Trouble(key, error.reason, kind.cost, kind.remedy.format(**names))
    except ObjectOfLaterRelease as error:
        made = f"release {error.release}" if error.release else "a later release"
        return Trouble(key, f"it was made by {made}", kind.cost, "deploy that release or later")
    return None
