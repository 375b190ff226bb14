"""DICOM's own protocol as a listener: takes films by C-STORE and answers C-ECHO.

Every storage class is accepted in negotiation and only films are kept: a sender whose study holds other objects too
would otherwise lose the whole study. A film is acknowledged when it is in the store.
"""

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, _config, evt
from pynetdicom.association import Association
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from pynetdicom.transport import ThreadedAssociationServer

from services.gateway.inbox import is_wanted
from services.gateway.transport.tls import Certificates, server_context
from shared import metrics
from shared.errors import ImageError, InputError, StoreError

for _name in ("pynetdicom", "pydicom"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)  # they log names of patients and UIDs

_SUCCESS, _OUT_OF_RESOURCES, _CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
_LARGEST_PDU = 131_072  # bytes; larger ones save little
_log = logging.getLogger("mammostack.gateway")


@dataclass(frozen=True)
class ListenerOptions:
    """Limits and peers of the listener.

    Attributes:
        callers: titles of nodes that may connect; empty: any, allowed on loopback alone.
        most_bytes: size of the largest film; a connection that sends twice as much in one message is aborted.
        fullest_disk: share of the store's disk that may be used before films are refused.
        disk: a folder on that disk; None: the store is not on a disk of this machine.
    """

    title: str
    host: str
    port: int
    callers: Sequence[str] = ()
    certificates: Certificates | None = None
    most_associations: int = 10
    most_bytes: int = 256 << 20
    fullest_disk: float = 0.9
    disk: str | None = None
    timeout_s: float = field(default=60)


def is_full(options: ListenerOptions) -> bool:
    """Return True if the disk of the store is fuller than it may be."""
    if options.disk is None:
        return False
    usage = shutil.disk_usage(options.disk)
    return usage.used / usage.total > options.fullest_disk


def start_listener(options: ListenerOptions, keep: Callable[[bytes], bool]) -> ThreadedAssociationServer:
    """Start the listener in threads of its own.

    Args:
        keep: puts a film into the inbox; returns False if it was there already.

    Raises:
        InputError: the address can't be listened on.
    """
    _config.UNRESTRICTED_STORAGE_SERVICE = True  # private storage classes are accepted as well, and dropped
    listener = AE(ae_title=options.title)
    listener.supported_contexts = AllStoragePresentationContexts
    for context in listener.supported_contexts:
        context.transfer_syntax = list(ALL_TRANSFER_SYNTAXES)
    listener.add_supported_context(Verification)
    listener.require_called_aet = True
    listener.require_calling_aet = list(options.callers)
    listener.maximum_associations = options.most_associations
    listener.maximum_pdu_size = _LARGEST_PDU
    listener.acse_timeout = listener.dimse_timeout = listener.network_timeout = options.timeout_s
    for reason in ("called title", "calling title", "too many"):
        metrics.GATEWAY_ASSOCIATIONS.labels(reason)  # 0 from the start, so that the first one is seen to be one
    tls = server_context(options.certificates) if options.certificates else None
    handlers: list[Any] = [
        (evt.EVT_C_STORE, _on_store, [options, keep]),
        (evt.EVT_C_ECHO, lambda _event: _SUCCESS),
        (evt.EVT_REJECTED, _on_rejected, [options]),
        (evt.EVT_ACCEPTED, lambda _event: metrics.GATEWAY_ASSOCIATIONS.labels("accepted").inc()),
        (evt.EVT_PDU_RECV, _MessageLimit(2 * options.most_bytes)),
    ]
    try:
        server = listener.start_server(
            (options.host, options.port), block=False, ssl_context=tls, evt_handlers=handlers
        )
    except OSError as error:
        raise InputError(
            f"MAMMO_GATEWAY_DICOM_PORT: {options.host}:{options.port} can't be listened on: {error.strerror}"
        ) from None
    if server is None:
        raise InputError("the DICOM listener did not start; check MAMMO_GATEWAY_DICOM_PORT")
    return server


class _MessageLimit:
    """Aborts associations that send more bytes in one message than are allowed: pynetdicom keeps them in memory."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._received: WeakKeyDictionary[Association, int] = WeakKeyDictionary()

    def __call__(self, event: evt.Event) -> None:
        if not isinstance(event.pdu, P_DATA_TF):
            return
        received = self._received.get(event.assoc, 0)
        for item in event.pdu.presentation_data_value_items:
            fragment = item.presentation_data_value or b"\0"
            is_last = fragment[0] & 2  # of the command or of the data set (PS3.8 E.2)
            received = 0 if is_last else received + len(fragment)
        self._received[event.assoc] = received
        if received > self._most_bytes:
            metrics.GATEWAY_RECEIVED.labels("too large").inc()
            event.assoc.abort()


def _on_store(event: evt.Event, options: ListenerOptions, keep: Callable[[bytes], bool]) -> int:
    """Keep a film, drop other objects; return the status of C-STORE (PS3.4 B.2.3)."""
    status, outcome = _SUCCESS, "other object"
    try:
        if is_wanted(str(event.request.AffectedSOPClassUID)):
            status, outcome = _take(event.encoded_dataset(), options, keep)
    except Exception as error:  # noqa: BLE001  whatever it is, the sender must not take the film for kept
        _log.error("film refused: %s", type(error).__name__)
        status, outcome = _OUT_OF_RESOURCES, "failed"
    metrics.GATEWAY_RECEIVED.labels(outcome).inc()
    return status


def _take(data: bytes, options: ListenerOptions, keep: Callable[[bytes], bool]) -> tuple[int, str]:
    """Keep a film; return the status and the outcome for the metrics."""
    if is_full(options):
        return _OUT_OF_RESOURCES, "disk full"
    if len(data) > options.most_bytes:
        return _CANNOT_UNDERSTAND, "too large"
    try:
        fresh = keep(data)
    except ImageError:
        return _CANNOT_UNDERSTAND, "unreadable"
    except StoreError as error:
        _log.warning("film refused", extra={"reason": str(error)})
        return _OUT_OF_RESOURCES, "store away"
    metrics.GATEWAY_BYTES.inc(len(data))
    return _SUCCESS, "kept" if fresh else "repeated"


def _on_rejected(event: evt.Event, options: ListenerOptions) -> None:
    """Count why a connection was rejected, by what its request says."""
    request = event.assoc.requestor.primitive
    reason = "too many"
    if request is not None and str(request.called_ae_title).strip() != options.title:
        reason = "called title"
    elif request is not None and options.callers and str(request.calling_ae_title).strip() not in options.callers:
        reason = "calling title"
    metrics.GATEWAY_ASSOCIATIONS.labels(reason).inc()
