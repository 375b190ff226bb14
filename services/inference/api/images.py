"""The images of a request, and their predictions: what the native API and the foreign protocols share."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from flask import g, request

from services.inference.api import forms
from services.inference.api.document import Media
from services.inference.bodies import SentForm
from services.inference.predictor import Prediction, ServedModel
from services.inference.service import InferenceService, connection_closed
from shared.errors import ImageError, ImageTooLarge, InputError

_LONGEST_NAME = 80

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


@dataclass(frozen=True)
class SentFilm:
    """An image file of a request: its place, from 0, its file name where it came with one, and its bytes.

    `data` is None for a file beyond MAMMO_MAX_IMAGE_MB, which was not kept.
    """

    place: int
    name: str | None
    data: bytes | None

    def __str__(self) -> str:
        return f"film {self.place + 1}" + (f" ({self.name})" if self.name else "")


def films_sent(most: int) -> list[SentFilm]:
    """The body, or the files of a multipart form, all of one patient. Raises InputError."""
    form: SentForm | None = g.get("form")
    if form is None:
        data = forms.sent_body()
        if not data:
            raise InputError("the body is empty; send the image's bytes as they are in its file")
        return [SentFilm(0, None, data)]
    if not form.files:
        raise InputError("the form holds no file; send the image in a field such as 'image'")
    if len(form.files) > most:
        raise InputError(f"the form holds {len(form.files)} files; send at most {most} in a request")
    return [SentFilm(place, _shown(file.name), file.data) for place, file in enumerate(form.files)]


def _shown(name: str | None) -> str | None:
    """A file name as it is named in an answer: without folders and what can't be printed."""
    shown = "".join(letter for letter in re.split(r"[/\\]", name or "")[-1] if letter.isprintable())
    return shown[:_LONGEST_NAME] or None


def predict_all(
    service: InferenceService,
    model: ServedModel,
    images: Sequence[SentFilm],
    *,
    explain: bool = False,
    timeout_ms: int | None = None,
) -> list[Prediction]:
    """Predict images one after the other. A client that hangs up is not worked for any longer.

    Raises what `InferenceService.predict` raises; an ImageError names the image where there are several.
    """
    return [
        predict_film(service, model, image, named=len(images) > 1, explain=explain, timeout_ms=timeout_ms)
        for image in images
    ]


def predict_film(
    service: InferenceService,
    model: ServedModel,
    film: SentFilm,
    *,
    named: bool,
    explain: bool = False,
    timeout_ms: int | None = None,
) -> Prediction:
    """Predict one film.

    Raises what `InferenceService.predict` raises; an ImageError names the film where it is `named`.
    """
    connection = request.environ.get("gunicorn.socket")
    timeout_s = None if timeout_ms is None else timeout_ms / 1000
    try:
        if film.data is None:
            most = service.config.max_image_mb
            raise ImageTooLarge(f"the file has more than {most} MB (MAMMO_MAX_IMAGE_MB); send a smaller one")
        return service.predict(
            model, film.data, explain=explain, timeout_s=timeout_s, is_gone=lambda: connection_closed(connection)
        )
    except ImageError as error:
        if named:
            error.args = (f"{film}: {error}",)
        raise
