"""Wire the gateway from its settings: store, archive, destinations, inference service."""

import base64
from collections.abc import Sequence
from pathlib import Path

from services.gateway.flow import ExamFlow, FlowOptions
from services.gateway.interfaces import Archive, Destination
from services.gateway.report import KINDS, ResultKind
from services.gateway.transport.dicomweb import Access, DicomWeb
from services.gateway.transport.scp import ListenerOptions
from services.gateway.transport.scu import DicomNode, Peer
from services.gateway.transport.tls import Certificates
from shared.api.exams import ExamPrediction
from shared.client import ApiError, FilmUpload, InferenceClient
from shared.errors import MammoError, ModelNotReady, ServiceUnavailable
from shared.settings import GatewayProcessSettings, GatewaySettings, PacsSettings, SettingsError
from shared.settings.gateway import node_of
from shared.store.objects import open_store

_PREDICT_S = 600  # of an exam of twelve films on a busy machine
_PASSING = {401, 403, 408, 429, 502, 503, 504}
"""HTTP statuses of the inference service that are waited out; so are refused keys, which an operator corrects."""


class PredictionFailed(MammoError):
    """A fault of the inference service on an exam."""

    code = "prediction-failed"
    retryable = True


def exam_flow(settings: GatewayProcessSettings) -> ExamFlow:
    """Create the flow; nothing is connected yet."""
    pacs = settings.pacs
    options = FlowOptions(wanted_kinds(pacs), pacs.operating_point, pacs.implants)
    client = InferenceClient(settings.gateway.inference_url, settings.client.key, timeout_s=_PREDICT_S)

    def predict(films: Sequence[bytes]) -> ExamPrediction:
        return predict_exam(client, films, pacs.operating_point)

    return ExamFlow(open_store(settings.store), archive_of(settings), destinations_of(settings), predict, options)


def wanted_kinds(pacs: PacsSettings) -> tuple[ResultKind, ...]:
    """Return the kinds of result objects that are sent."""
    wanted = pacs.out.split(",")
    return tuple(kind for kind in KINDS if kind in wanted)


def archive_of(settings: GatewayProcessSettings) -> Archive | None:
    """Return the archive that films are read from: that of MAMMO_PACS_URL, else the first DICOMweb destination."""
    places = (settings.pacs.url, *settings.pacs.places)
    address = next((place for place in places if place and node_of(place) is None), None)
    return None if address is None else _dicomweb("archive", address, settings)


def destinations_of(settings: GatewayProcessSettings) -> tuple[Destination, ...]:
    """Return the destinations.

    Raises:
        SettingsError: there is none.
    """
    found: list[Destination] = []
    for number, place in enumerate(settings.pacs.places, 1):
        node = node_of(place)
        if node is None:
            found.append(_dicomweb(f"dicomweb-{number}", place, settings))
        else:
            peer = Peer(*node, calling=settings.gateway.title, certificates=certificates_of(settings.gateway))
            found.append(DicomNode(f"dicom-{number}", peer))
    if not found:
        raise SettingsError("MAMMO_PACS_DEST: there is no place for results; set it, or MAMMO_PACS_URL")
    return tuple(found)


def certificates_of(gateway: GatewaySettings) -> Certificates | None:
    """Return the files of TLS for DICOM; None: no TLS."""
    if not (gateway.tls_cert and gateway.tls_key and gateway.tls_ca):
        return None
    return Certificates(gateway.tls_cert, gateway.tls_key, gateway.tls_ca)


def listener_options(settings: GatewayProcessSettings) -> ListenerOptions:
    """Return what the listeners accept."""
    gateway, store = settings.gateway, settings.store.url
    return ListenerOptions(
        title=gateway.title,
        host=gateway.host,
        port=gateway.dicom_port,
        callers=gateway.allowed_callers,
        certificates=certificates_of(gateway),
        most_associations=gateway.associations,
        most_bytes=gateway.film_mb << 20,
        fullest_disk=gateway.disk_percent / 100,
        disk=None if store.startswith("s3://") else str(Path(store).expanduser()),
    )


def predict_exam(client: InferenceClient, films: Sequence[bytes], operating_point: str) -> ExamPrediction:
    """Predict an exam with activation maps in grey levels.

    Raises:
        ServiceUnavailable: the inference service does not answer, has no model, or no room.
        ApiError: it refuses the exam.
    """
    sent = [FilmUpload(film) for film in films]
    try:
        return client.predict_exam(sent, operating_point=operating_point, heatmap=True, form="grey")
    except ModelNotReady as error:
        raise ServiceUnavailable(f"the inference service has no model yet: {error}") from error
    except ApiError as error:
        if error.problem is None or error.problem.status in _PASSING:
            raise ServiceUnavailable(f"the inference service can't predict for now: {error}") from error
        if error.problem.status >= 500:
            raise PredictionFailed(str(error)) from error
        raise


def _dicomweb(name: str, address: str, settings: GatewayProcessSettings) -> DicomWeb:
    pacs = settings.pacs
    authorization = ""
    if token := pacs.token.get_secret_value():
        authorization = f"Bearer {token}"
    elif pacs.user:
        pair = f"{pacs.user}:{pacs.password.get_secret_value()}"
        authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
    access = Access(
        address,
        headers=(("Authorization", authorization),) if authorization else (),
        verify=pacs.ca or True,
        certificate=(pacs.cert, pacs.key) if pacs.cert and pacs.key else None,
    )
    return DicomWeb(name, access, pacs.lookback_d, settings.gateway.film_mb << 20)
