"""DICOMweb (PS3.18) as a client: QIDO-RS and WADO-RS to read an archive, STOW-RS to store results."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from services.gateway.inbox import is_wanted
from services.gateway.interfaces import ListedInstance, Rejected, StudyEntry
from services.gateway.objects.build import ResultObject
from services.gateway.transport import multipart
from shared.errors import MammoError, ServiceUnavailable

_JSON = {"Accept": "application/dicom+json"}
_DICOM = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
VIEW_NAMES = {"399162004": "CC", "R-10242": "CC", "399368009": "MLO", "R-10226": "MLO"}
"""Standard views by their codes (PS3.16 CID 4014) in SNOMED CT and RT."""

_PAGE = 500
_MOST_VIEWS = 10_000
_REFUSED = {400, 406, 409, 413, 415, 422}
"""HTTP statuses that stay the same for the same objects; others pass, or an operator corrects their cause."""

_DUPLICATES = {0x0111, 0xB007}
"""Failure reasons that say that the object is there already."""

_PASSING = {0x0110, *range(0xA700, 0xA800)}
"""Failure reasons that may pass: a failure in processing, and a lack of resources (PS3.18 table I.2-2)."""


@dataclass(frozen=True)
class Access:
    """Address of an archive and the access to it.

    Attributes:
        headers: of every request, such as Authorization; never logged.
        verify: True, or the file of the certificate authority.
        certificate: files of the client's certificate and key.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    verify: bool | str = True
    certificate: tuple[str, str] | None = None
    timeout_s: float = 60


class DicomWeb:
    """An archive that speaks DICOMweb; implements Archive and Destination. Not thread-safe."""

    def __init__(self, name: str, access: Access, lookback_days: int = 2, most_bytes: int = 256 << 20) -> None:
        self.name = name
        self._url = access.url.rstrip("/")
        self._timeout = (10, access.timeout_s)
        self._lookback = timedelta(days=lookback_days)
        self._most_bytes = most_bytes
        self._views: dict[str, str] = {}
        self._session = requests.Session()
        self._session.headers.update(access.headers)
        self._session.verify, self._session.cert = access.verify, access.certificate
        self._session.trust_env = False  # a proxy of the environment would see films

    def check(self) -> None:
        """Raise ServiceUnavailable if the archive does not answer."""
        self._query("/studies", limit=1)

    def recent_studies(self, back_from: datetime | None = None) -> Iterator[StudyEntry]:
        """List the studies with mammograms, page by page."""
        dates = f"{(back_from or datetime.now(UTC)) - self._lookback:%Y%m%d}-"
        offset = 0
        while True:
            page = self._query(
                "/studies",
                ModalitiesInStudy="MG",
                StudyDate=dates,
                includefield="00201208",
                limit=_PAGE,
                offset=offset,
            )
            for study in page:
                if uid := _text(study, "0020000D"):
                    yield StudyEntry(uid, _number(study, "00201208"))
            if len(page) < _PAGE:
                return
            offset += len(page)

    def instances(self, study_uid: str) -> list[ListedInstance]:
        """List the objects of a study."""
        fields = ["00080016", "00080018", "0020000E", "00200011", "00200013", "00200062", "00185101", "00540220"]
        found: list[ListedInstance] = []
        while True:
            page = self._query(f"/studies/{study_uid}/instances", includefield=fields, limit=_PAGE, offset=len(found))
            found += [
                ListedInstance(
                    sop_class=_text(each, "00080016"),
                    sop_uid=_text(each, "00080018"),
                    series_uid=_text(each, "0020000E"),
                    series_number=_number(each, "00200011") or 0,
                    instance_number=_number(each, "00200013") or 0,
                    side=_text(each, "00200062"),
                    view=_view(each),
                )
                for each in page
            ]
            if len(page) < _PAGE:
                return [self._with_view(study_uid, each) for each in found]

    def _with_view(self, study_uid: str, instance: ListedInstance) -> ListedInstance:
        """Complete a film's view from its metadata, since archives list no sequences; each film is asked for once."""
        if not is_wanted(instance.sop_class) or instance.view:
            return instance
        if instance.sop_uid not in self._views:
            path = f"/studies/{study_uid}/series/{instance.series_uid}/instances/{instance.sop_uid}/metadata"
            if len(self._views) >= _MOST_VIEWS:
                self._views.clear()
            self._views[instance.sop_uid] = next((_view(each) for each in self._query(path)), "")
        return replace(instance, view=self._views[instance.sop_uid])

    def fetch(self, study_uid: str, instance: ListedInstance) -> bytes:
        """Read an object in the transfer syntax in which the archive holds it."""
        path = f"/studies/{study_uid}/series/{instance.series_uid}/instances/{instance.sop_uid}"
        with self._send("GET", path, headers=_DICOM, stream=True) as response:
            if not response.ok:
                raise _unavailable("reading a film", response.status_code)
            try:
                boundary = multipart.boundary_of(response.headers.get("Content-Type", ""))
                response.raw.decode_content = True
                return next(multipart.parts(response.raw.read, boundary, self._most_bytes))
            except (requests.RequestException, HTTPError, multipart.MalformedMultipart, OSError, StopIteration):
                # the raw stream raises urllib3's own errors, which requests does not translate
                raise ServiceUnavailable("the archive sent no whole film; it is asked again") from None

    def store(self, *files: bytes) -> requests.Response:
        """Store DICOM files and return the answer."""
        boundary = secrets.token_hex(16).encode()
        content_type = f'multipart/related; type="application/dicom"; boundary={boundary.decode()}'
        headers = {**_JSON, "Content-Type": content_type}
        return self._send("POST", "/studies", headers=headers, data=b"".join(multipart.body_of(list(files), boundary)))

    def send(self, objects: Sequence[ResultObject]) -> None:
        """Store objects; the answer's body decides, unless its status may pass. Reasons that may pass come first."""
        response = self.store(*(each.data for each in objects))
        if not response.ok and response.status_code not in _REFUSED:
            raise _unavailable("storing results", response.status_code)
        failed = _failures(response)
        if not failed and not response.ok:
            raise Rejected(f"the archive refused results with HTTP status {response.status_code}")
        kinds = {each.sop_uid: each.kind for each in objects}
        failed = {uid: reason for uid, reason in failed.items() if reason not in _DUPLICATES}
        for uid, reason in failed.items():
            if reason in _PASSING or uid not in kinds:
                raise ServiceUnavailable(f"the archive could not store results for now, reason {reason:04X}")
        for uid, reason in failed.items():
            raise Rejected(f"the archive refused an object of kind {kinds[uid]} with reason {reason:04X}")

    def _query(self, path: str, **query: str | int | list[str]) -> list[dict[str, Any]]:
        response = self._send("GET", path, headers=_JSON, params=query)
        if response.status_code in (204, 404):
            return []
        if not response.ok:
            raise _unavailable("a query", response.status_code)
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, list):
            raise ServiceUnavailable("the archive answered a query with no list; check MAMMO_PACS_URL")
        return [each for each in found if isinstance(each, dict)]

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        try:
            return self._session.request(method, self._url + path, timeout=self._timeout, **options)
        except requests.RequestException as error:
            # its own words hold the address of the request, and so UIDs
            raise ServiceUnavailable(f"the archive does not answer ({type(error).__name__})") from None


def _failures(response: requests.Response) -> dict[str, int]:
    """Return the reasons of objects that were not stored, by UID; none if the answer names none.

    A body is optional where all was stored, and reading back decides.
    """
    try:
        found = response.json()
        found = found[0] if isinstance(found, list) else found
        items = found.get("00081198", {}).get("Value", [])
        return {_text(item, "00081155"): _number(item, "00081197") or 0 for item in items}
    except (ValueError, AttributeError, KeyError, IndexError, TypeError):
        return {}


def _text(item: dict[str, Any], tag: str) -> str:
    value = item.get(tag, {}).get("Value") or [""]
    return str(value[0])


def _view(item: dict[str, Any]) -> str:
    """Return the view of a listed film, from its code or else from View Position."""
    codes = item.get("00540220", {}).get("Value") or [{}]
    code = _text(codes[0], "00080100") if isinstance(codes[0], dict) else ""
    return VIEW_NAMES.get(code) or _text(item, "00185101")


def _number(item: dict[str, Any], tag: str) -> int | None:
    try:
        return int(_text(item, tag))
    except ValueError:
        return None


def _unavailable(what: str, status: int) -> MammoError:
    return ServiceUnavailable(f"the archive answered {what} with HTTP status {status}")
