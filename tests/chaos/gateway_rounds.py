"""One round: exams on their way through the gateway while everything around it is hurt.

Some are sent twice, films of some trickle, one film of some comes late. All go to the archive that is polled, half of
them first to the gateway by C-STORE. A sender repeats a film until it is acknowledged, as modalities do. Then each
exam must have one current result of each kind about all its films, and nothing may be left.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from services.gateway import set_aside
from services.gateway.films import read_header
from services.gateway.interfaces import ListedInstance
from services.gateway.objects.uids import kind_of, result_prefix
from services.gateway.report import ResultKind
from services.gateway.transport.scu import DicomNode, Peer
from shared.datasets.synthetic_dicom import Patient
from shared.errors import MammoError, ServiceUnavailable
from tests.chaos.gateway_cluster import GatewayCluster
from tests.support.gateway import four_films

Manner = Literal["twice", "trickling", "late"]
MANNERS: tuple[Manner, ...] = ("twice", "trickling", "late")
_LIMIT_S, _STUCK_S = 240.0, 45.0
_REPORTS: tuple[ResultKind, ...] = ("cad-sr", "tid1500")


@dataclass
class Exam:
    """Four films of a patient, the manner in which they are sent, and whether they are also pushed to the gateway."""

    number: int
    manner: Manner
    pushed: bool
    films: list[bytes] = field(init=False)

    def __post_init__(self) -> None:
        study = f"1.2.826.0.1.3680043.8.498.78.{self.number}"
        self.films = four_films(Patient(f"CHAOS^{self.number}", f"C{self.number}", study, "20261130"))
        headers = [read_header(film) for film in self.films]
        self.study_uid, self.sop_uids = study, [header.sop_uid for header in headers]

    def __str__(self) -> str:
        return f"exam {self.number} ({self.manner}, {'pushed' if self.pushed else 'polled'})"


@dataclass
class Outcome:
    """How a round went; `wrong` is empty where all is well, `reports` counts those of each exam and kind."""

    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)
    retries: int = 0
    reports: int = 0
    wrong: list[str] = field(default_factory=list)


def play(cluster: GatewayCluster, exams: Sequence[Exam], faults: Sequence[Callable[[], None]]) -> Outcome:
    """Send exams, each from a thread of its own, while these faults strike; then wait until all is done."""
    outcome, began = Outcome(), time.monotonic()
    senders = [threading.Thread(target=_send, args=(cluster, exam, Random(exam.number))) for exam in exams]  # noqa: S311
    for sender in senders:
        sender.start()
    for fault in faults:
        time.sleep(cluster.chance.uniform(0.5, 4))
        fault()
        outcome.faults.append(fault.__name__)
    cluster.settle()
    for sender in senders:
        sender.join()
    _finish(cluster, exams, outcome)
    outcome.seconds = time.monotonic() - began
    return outcome


def _finish(cluster: GatewayCluster, exams: Sequence[Exam], outcome: Outcome) -> None:
    """Wait as an operator would, who gives what is set aside another chance."""
    limit, next_retry = time.monotonic() + _LIMIT_S, time.monotonic() + _STUCK_S
    while wrong := _wrong(cluster, exams):
        if time.monotonic() > limit:
            outcome.wrong = wrong
            return
        if time.monotonic() > next_retry:
            next_retry += _STUCK_S
            for study, _ in set_aside.all_set_aside(cluster.store):
                set_aside.take_back(cluster.store, study)
                outcome.retries += 1
        time.sleep(1)
    outcome.reports = sum(kind_of(each.sop_uid) in _REPORTS for exam in exams for each in _listed(cluster, exam))


def _wrong(cluster: GatewayCluster, exams: Sequence[Exam]) -> list[str]:
    """Say what is missing, doubled or left over."""
    try:
        found = [f"{exam}: {line}" for exam in exams for line in _wrong_of(exam, _listed(cluster, exam))]
        found += [f"left: {key}" for key in cluster.store.list("gateway/")]
        found += [f"set aside: {why.code}: {why.message}" for _, why in set_aside.all_set_aside(cluster.store)]
    except MammoError as error:
        return [f"can't be looked at: {error}"]
    return found


def _wrong_of(exam: Exam, listed: Sequence[ListedInstance]) -> list[str]:
    found = []
    for kind in _REPORTS:
        reports = sorted((each for each in listed if kind_of(each.sop_uid) == kind), key=lambda it: it.instance_number)
        current = [each for each in reports if each.sop_uid.startswith(result_prefix(kind, exam.sop_uids))]
        numbers = [each.instance_number for each in reports]
        if len(current) != 1 or reports[-1] is not current[0]:
            found.append(f"{len(current)} of {len(reports)} objects of kind {kind} are about all films")
        if len(set(numbers)) != len(numbers):
            found.append(f"objects of kind {kind} have the numbers {numbers}")
    pictures = [each.sop_uid for each in listed if kind_of(each.sop_uid) == "sc"]
    pictured = [sum(uid.startswith(result_prefix("sc", [film])) for uid in pictures) for film in exam.sop_uids]
    if pictured != [1] * len(exam.films) or len(pictures) != len(exam.films):
        found.append(f"{len(pictures)} pictures, {pictured} of each film")
    films = {each.sop_uid for each in listed} & set(exam.sop_uids)
    if len(films) != len(exam.films):
        found.append(f"{len(films)} films in the archive")
    return found


def _listed(cluster: GatewayCluster, exam: Exam) -> list[ListedInstance]:
    return cluster.archive.instances(exam.study_uid)


def _send(cluster: GatewayCluster, exam: Exam, chance: Random) -> None:
    films = list(exam.films)
    chance.shuffle(films)
    if exam.manner == "twice":
        films += films
    for number, film in enumerate(films):
        if exam.manner == "trickling":
            time.sleep(chance.uniform(0.3, 2))
        if exam.manner == "late" and number == len(films) - 1:
            _wait_for_a_report(cluster, exam)
        if exam.pushed:
            peer = Peer("MAMMOSTACK", "127.0.0.1", cluster.dicom_port, f"UNIT{exam.number}", timeout_s=20)
            files = [(read_header(film).sop_class, "film", film)]
            _until_acknowledged(lambda: DicomNode("gateway", peer).send_files(files))  # noqa: B023  called at once
        _until_acknowledged(lambda: cluster.archive.store(film).raise_for_status())  # noqa: B023  called at once


def _until_acknowledged(send: Callable[[], None]) -> None:
    while True:
        try:
            send()
        except (ServiceUnavailable, OSError):
            time.sleep(0.5)
        else:
            return


def _wait_for_a_report(cluster: GatewayCluster, exam: Exam) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with suppress(MammoError):
            if any(kind_of(each.sop_uid) == "tid1500" for each in _listed(cluster, exam)):
                return
        time.sleep(0.5)
