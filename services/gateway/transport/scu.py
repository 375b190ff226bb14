"""DICOM's own protocol as a caller: C-ECHO, C-STORE and C-FIND (PS3.4 annexes A, B, C)."""

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification  # type: ignore[attr-defined]

from services.gateway.interfaces import ListedInstance, Rejected
from services.gateway.objects.build import ResultObject
from services.gateway.transport.tls import Certificates, client_context
from shared.errors import ServiceUnavailable

for _name in ("pynetdicom", "pydicom"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)  # they log names of patients and UIDs

_SYNTAXES = [str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)]
_FIND = str(StudyRootQueryRetrieveInformationModelFind)


@dataclass(frozen=True)
class Peer:
    """A node of the DICOM network, and the title that the gateway calls it with."""

    called: str
    host: str
    port: int
    calling: str
    certificates: Certificates | None = None
    timeout_s: float = 60


class DicomNode:
    """A node that takes results by C-STORE; implements Destination."""

    def __init__(self, name: str, peer: Peer) -> None:
        self.name = name
        self._peer = peer

    def check(self) -> None:
        """Raise ServiceUnavailable unless the node answers C-ECHO."""
        with self._association([str(Verification)]) as association:
            if _status(association.send_c_echo()) != 0:
                raise ServiceUnavailable("the destination does not answer C-ECHO")

    def send(self, objects: Sequence[ResultObject]) -> None:
        """Store objects in one association, each in the transfer syntax in which it was built."""
        self.send_files([(each.sop_class, each.kind, each.data) for each in objects])

    def send_files(self, files: Sequence[tuple[str, str, bytes]]) -> None:
        """Store DICOM files, given as storage class, words for errors, and bytes.

        Raises:
            ServiceUnavailable: some may have arrived.
            Rejected: one was refused for good; the others were stored.
        """
        refused: list[str] = []
        headers = [pydicom.dcmread(io.BytesIO(data)) for _, _, data in files]
        syntaxes = {str(header.file_meta.TransferSyntaxUID) for header in headers}
        with self._association(sorted({sop_class for sop_class, _, _ in files}), syntaxes) as association:
            accepted = {str(context.abstract_syntax) for context in association.accepted_contexts}
            for (sop_class, kind, _), header in zip(files, headers, strict=True):
                if sop_class not in accepted:
                    refused.append(f"the destination does not accept objects of kind {kind}")
                    continue
                try:
                    status = _status(association.send_c_store(header))
                except (ValueError, AttributeError):
                    raise ServiceUnavailable("the connection to the destination was lost") from None
                if status is None or 0xA700 <= status <= 0xA7FF:
                    raise ServiceUnavailable("the destination could not store results for now")
                if status != 0 and not 0xB000 <= status <= 0xBFFF:
                    refused.append(f"the destination refused an object of kind {kind} with status {status:04X}")
        if refused:
            raise Rejected(refused[0])

    def instances(self, study_uid: str) -> list[ListedInstance] | None:
        """List the objects of a study by C-FIND; None if the node does not offer it."""
        found: list[ListedInstance] = []
        try:
            with self._association([_FIND]) as association:
                for series in _find(
                    association, "SERIES", StudyInstanceUID=study_uid, SeriesInstanceUID="", SeriesNumber=""
                ):
                    query = {"SOPInstanceUID": "", "SOPClassUID": "", "InstanceNumber": ""}
                    uids = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": str(series.SeriesInstanceUID)}
                    found += [
                        ListedInstance(
                            sop_class=str(each.get("SOPClassUID", "")),
                            sop_uid=str(each.SOPInstanceUID),
                            series_uid=str(series.SeriesInstanceUID),
                            series_number=int(series.get("SeriesNumber") or 0),
                            instance_number=int(each.get("InstanceNumber") or 0),
                        )
                        for each in _find(association, "IMAGE", **uids, **query)
                    ]
        except _NotOffered:
            return None
        return found

    @contextmanager
    def _association(self, classes: Sequence[str], syntaxes: set[str] | None = None) -> Iterator[Association]:
        peer = self._peer
        caller = AE(ae_title=peer.calling)
        caller.acse_timeout = caller.dimse_timeout = caller.network_timeout = peer.timeout_s
        caller.connection_timeout = 10
        # files: one context for each syntax, so that the other side can't choose one in which no file is
        offered = [[syntax] for syntax in sorted(syntaxes)] if syntaxes else [_SYNTAXES]
        contexts = [build_context(each, syntax) for each in classes for syntax in offered]
        tls = (client_context(peer.certificates), peer.host) if peer.certificates else None
        association = caller.associate(peer.host, peer.port, contexts[:128], ae_title=peer.called, tls_args=tls)
        if not association.is_established:
            if association.rejected_contexts and not association.is_rejected and not association.accepted_contexts:
                raise _NotOffered
            raise ServiceUnavailable("the destination does not accept the connection; check address, titles and TLS")
        try:
            yield association
        except RuntimeError:  # of pynetdicom, at a request after the association was lost
            raise ServiceUnavailable("the connection to the destination was lost") from None
        finally:
            association.release()


class _NotOffered(ServiceUnavailable):
    """A service that the node does not offer."""


def _find(association: Association, level: str, **keys: str) -> list[Dataset]:
    """Return the answers to a query. Raises ServiceUnavailable."""
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    found = []
    for status, answer in association.send_c_find(query, _FIND):
        if _status(status) in (0xFF00, 0xFF01) and answer is not None:
            found.append(answer)
        elif _status(status) != 0:
            raise ServiceUnavailable("the destination did not answer a query")
    return found


def _status(answer: Dataset) -> int | None:
    return int(answer.Status) if "Status" in answer else None
