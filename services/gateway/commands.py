"""The commands of `mammo gateway`: status, retry, echo, send. Each prints lines and returns an exit status."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from services.gateway.bootstrap import certificates_of, destinations_of
from services.gateway.films import read_header
from services.gateway.inbox import is_wanted, received_exams
from services.gateway.outbox import waiting_studies
from services.gateway.set_aside import all_set_aside, take_back
from services.gateway.transport.scu import DicomNode, Peer
from shared.errors import ImageError, InputError, ServiceUnavailable
from shared.settings import GatewayProcessSettings
from shared.store.objects import open_store

_SENT_AT_ONCE = 16


def status(settings: GatewayProcessSettings, _arguments: list[str]) -> int:
    """Print how many exams wait, and those that are set aside with their reasons."""
    store = open_store(settings.store)
    inbox, waiting = received_exams(store), waiting_studies(store)
    print(f"exams with films in the inbox: {len(inbox)} ({sum(len(exam.keys) for exam in inbox.values())} films)")
    print(f"predicted exams whose results are not stored everywhere: {len(waiting)}")
    aside = list(all_set_aside(store))
    print(f"exams set aside: {len(aside)}")
    for study, why in aside:
        print(f"  {study[:10]} {why.when} {why.code}: {why.message}")
    return 0


def retry(settings: GatewayProcessSettings, _arguments: list[str]) -> int:
    """Give all exams that are set aside another chance."""
    store = open_store(settings.store)
    aside = list(all_set_aside(store))
    for study, _ in aside:
        take_back(store, study)
    print(f"{len(aside)} exams are taken up again at the next look")
    return 0


def echo(settings: GatewayProcessSettings, _arguments: list[str]) -> int:
    """Check every destination; return 1 if one does not answer."""
    failed = 0
    for destination in destinations_of(settings):
        try:
            destination.check()
        except ServiceUnavailable as error:
            failed = 1
            print(f"{destination.name}: {error}")
        else:
            print(f"{destination.name}: answers")
    return failed


def send(settings: GatewayProcessSettings, arguments: list[str]) -> int:
    """Send the films of a folder to the gateway's DICOM listener, as a mammography unit would.

    Raises:
        InputError: there is no folder, no listener, or no film.
    """
    gateway = settings.gateway
    if not arguments or not Path(arguments[0]).is_dir():
        raise InputError("there is no such folder; name one with DICOM files")
    if not gateway.dicom_port:
        raise InputError("the gateway has no DICOM listener; set MAMMO_GATEWAY_DICOM_PORT")
    caller = next(iter(gateway.allowed_callers), "MAMMO_SEND")
    node = DicomNode("gateway", Peer(gateway.title, gateway.host, gateway.dicom_port, caller, certificates_of(gateway)))
    films, count = _films(Path(arguments[0])), 0
    while chunk := list(islice(films, _SENT_AT_ONCE)):
        node.send_files(chunk)
        count += len(chunk)
    if not count:
        raise InputError("the folder holds no mammogram For Presentation")
    print(f"{count} films sent")
    return 0


def _films(folder: Path) -> Iterator[tuple[str, str, bytes]]:
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        data = path.read_bytes()
        try:
            header = read_header(data)
        except ImageError:
            continue
        if is_wanted(header.sop_class):
            yield header.sop_class, "film", data


COMMANDS: dict[str, Callable[[GatewayProcessSettings, list[str]], int]] = {
    "status": status,
    "retry": retry,
    "echo": echo,
    "send": send,
}
