"""The images of a request, and their predictions: what the native API and the foreign protocols share."""

from flask import request

from services.inference.api.document import Media
from services.inference.predictor import Prediction, ServedModel
from services.inference.service import InferenceService, connection_closed
from shared.api.protocols import MOST_IMAGES
from shared.errors import InputError

IMAGE_ERRORS = (413, 415, 422, 503, 504)
"""What can be wrong with an image, or keep it from being worked on."""

IMAGES = Media(
    (
        "application/octet-stream",
        "image/png",
        "image/jpeg",
        "image/tiff",
        "image/x-portable-graymap",
        "application/dicom",
    ),
    {},
)


def form(most: int) -> Media:
    """A multipart form with at least one film and at most `most`, all of one patient."""
    files = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1, "maxItems": most}
    schema = {
        "type": "object",
        "description": "films of one patient, in fields of any name",
        "properties": {"image": files},
        "required": ["image"],
    }
    return Media(("multipart/form-data",), schema)


def images_sent() -> list[bytes]:
    """The body, or the files of a multipart form, all of one patient. Raises InputError."""
    if request.mimetype == "multipart/form-data":
        uploads = [bytes(upload.read()) for _, upload in request.files.items(multi=True)]
        if not uploads:
            raise InputError("the form holds no file; send the image in a field such as 'image'")
        if len(uploads) > MOST_IMAGES:
            raise InputError(f"the form holds {len(uploads)} files; send at most {MOST_IMAGES} in a request")
        return uploads
    data = request.get_data(cache=False)
    if not data:
        raise InputError("the body is empty; send the image's bytes as they are in its file")
    return [data]


def predict_all(
    service: InferenceService,
    model: ServedModel,
    images: list[bytes],
    *,
    explain: bool = False,
    timeout_ms: int | None = None,
) -> list[Prediction]:
    """One after the other. A client that hangs up is not worked for any longer.

    Raises what `InferenceService.predict` raises.
    """
    connection = request.environ.get("gunicorn.socket")
    timeout_s = None if timeout_ms is None else timeout_ms / 1000
    return [
        service.predict(
            model, image, explain=explain, timeout_s=timeout_s, is_gone=lambda: connection_closed(connection)
        )
        for image in images
    ]
