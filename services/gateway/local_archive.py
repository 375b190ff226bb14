"""A small DICOMweb archive on loopback, for the demo and for tests: QIDO-RS, WADO-RS and STOW-RS as far as needed.

Objects are files of one folder, so it may be killed and started again. As in real archives, an object whose UID is
there already stays as it is. `python -m services.gateway.local_archive PORT FOLDER` serves a folder.
"""

import io
import secrets
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
from flask import Flask, Response, abort, jsonify, request
from pydicom.dataset import Dataset
from werkzeug.serving import BaseWSGIServer, make_server

from services.gateway.transport.multipart import MalformedMultipart, body_of, boundary_of, parts

_MOST_BYTES = 512 << 20
_LISTED = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber"),
    *("Modality", "StudyDate", "PatientName", "PatientID", "SeriesDescription", "AccessionNumber"),
    *("ImageLaterality", "ViewPosition", "ViewCodeSequence"),
)


class LocalArchive:
    """The objects of a folder; a listing reads headers once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._headers: dict[str, Dataset] = {}
        for path in sorted(folder.glob("*.dcm")):
            self._headers[path.stem] = _header(path.read_bytes())

    def add(self, data: bytes) -> Dataset:
        """Store an object unless its UID is there, and return its header. Raises ValueError for other files."""
        header = _header(data)
        uid = str(header.SOPInstanceUID)
        with self._lock:
            if uid not in self._headers:
                partial = self._folder / f"{uid}.partial"
                partial.write_bytes(data)
                partial.replace(self._folder / f"{uid}.dcm")
                self._headers[uid] = header
        return header

    def headers(self, study: str | None = None) -> list[Dataset]:
        """Return the headers of all objects, or of those of a study."""
        with self._lock:
            return [each for each in self._headers.values() if study in (None, str(each.StudyInstanceUID))]

    def data(self, uid: str) -> bytes:
        """Return the file of an object. Raises KeyError."""
        with self._lock:
            self._headers[uid]
        return (self._folder / f"{uid}.dcm").read_bytes()


def _header(data: bytes) -> Dataset:
    try:
        header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, specific_tags=list(_LISTED))
        if not (header.SOPInstanceUID and header.StudyInstanceUID and header.SeriesInstanceUID):
            raise ValueError
    except Exception:  # noqa: BLE001  pydicom raises whatever it stumbles over
        raise ValueError("no DICOM file") from None
    return Dataset(header)


def make_app(archive: LocalArchive) -> Flask:
    """Create the application."""
    app = Flask(__name__)

    @app.get("/studies")
    def studies() -> Response:
        by_study: dict[str, list[Dataset]] = {}
        for header in archive.headers():
            by_study.setdefault(str(header.StudyInstanceUID), []).append(header)
        found = []
        for headers in by_study.values():
            modality, date = request.args.get("ModalitiesInStudy"), str(headers[0].get("StudyDate", ""))
            since = request.args.get("StudyDate", "").partition("-")[0]
            if (not modality or any(each.get("Modality") == modality for each in headers)) and date >= since:
                item = _json(headers[0], "StudyInstanceUID", "StudyDate", "PatientName", "PatientID")
                item["00201208"] = {"vr": "IS", "Value": [len(headers)]}
                found.append(item)
        return _page(found)

    @app.get("/studies/<study>/instances")
    def instances(study: str) -> Response:
        return _page([_json(header, *_LISTED) for header in archive.headers(study)])

    @app.get("/studies/<study>/series/<_series>/instances/<instance>")
    def retrieve(study: str, _series: str, instance: str) -> Response:
        if not any(str(header.SOPInstanceUID) == instance for header in archive.headers(study)):
            abort(404)
        boundary = secrets.token_hex(16)
        content_type = f'multipart/related; type="application/dicom"; boundary={boundary}'
        return Response(b"".join(body_of([archive.data(instance)], boundary.encode())), content_type=content_type)

    @app.get("/studies/<study>/series/<_series>/instances/<instance>/metadata")
    def metadata(study: str, _series: str, instance: str) -> Response:
        return _page([_json(each, *_LISTED) for each in archive.headers(study) if each.SOPInstanceUID == instance])

    _add_store(app, archive)
    return app


def _add_store(app: Flask, archive: LocalArchive) -> None:
    """Add the routes of STOW-RS."""

    @app.post("/studies")
    @app.post("/studies/<_study>")
    def store(_study: str | None = None) -> Response:
        stored: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        try:
            boundary = boundary_of(request.headers.get("Content-Type", ""))
            for data in parts(request.stream.read, boundary, _MOST_BYTES):
                try:
                    header = archive.add(data)
                except ValueError:
                    failed.append({"00081197": {"vr": "US", "Value": [0xC000]}})
                    continue
                stored.append(
                    {
                        "00081150": {"vr": "UI", "Value": [str(header.SOPClassUID)]},
                        "00081155": {"vr": "UI", "Value": [str(header.SOPInstanceUID)]},
                    }
                )
        except MalformedMultipart:
            abort(400)
        answer = {"00081199": {"vr": "SQ", "Value": stored}}
        response = jsonify(answer | ({"00081198": {"vr": "SQ", "Value": failed}} if failed else {}))
        response.status_code = 200 if not failed else 202 if stored else 409
        return response


def _json(header: Dataset, *keywords: str) -> dict[str, Any]:
    chosen = Dataset()
    for keyword in keywords:
        if keyword in header:
            chosen.add(header[keyword])
    found: dict[str, Any] = chosen.to_json_dict(suppress_invalid_tags=True)
    return found


def _page(found: list[dict[str, Any]]) -> Response:
    offset = int(request.args.get("offset", 0))
    return jsonify(found[offset : offset + int(request.args.get("limit", len(found) or 1))])


def serving(folder: Path, port: int = 0) -> BaseWSGIServer:
    """Return a server of a folder, which listens and does not serve yet."""
    return make_server("127.0.0.1", port, make_app(LocalArchive(folder)), threaded=True)


def pictures(archive: LocalArchive) -> Iterator[tuple[Dataset, bytes]]:
    """Yield header and file of every Secondary Capture."""
    for header in archive.headers():
        if header.get("Modality") == "OT":
            yield header, archive.data(str(header.SOPInstanceUID))


if __name__ == "__main__":
    serving(Path(sys.argv[2]), int(sys.argv[1])).serve_forever()
