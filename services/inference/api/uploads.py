"""Uploaded images and their predictions, shared by all protocols."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, get_args

from flask import g, request

from services.inference.admission.multipart import MultipartForm
from services.inference.api import request_parsing
from services.inference.api.openapi import Media
from services.inference.service import InferenceService, connection_closed
from services.inference.serving.known_film import UNSTATED, StatedView, ViewAndSide
from services.inference.serving.predictor import Explain, Prediction, ServedModel, explanation
from shared.api.films import Laterality
from shared.api.predictions import PredictionQuery
from shared.domain.records import Label
from shared.errors import ImageError, ImageTooLarge, InputError
from shared.modelling.calibration import OperatingPoint

T = TypeVar("T")
VIEWS: tuple[StatedView, ...] = get_args(StatedView)
SIDES: tuple[Laterality, ...] = get_args(Laterality)
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


def film_form(most: int) -> Media:
    """Describe a multipart form with 1 to `most` films of one patient."""
    files = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1, "maxItems": most}
    texts = {
        name: {
            "type": "array",
            "items": {"type": "string", "enum": ["", *allowed]},
            "maxItems": most,
            "description": f"The {name} of each film, in the order of the films; empty: not stated",
        }
        for name, allowed in (("view", VIEWS), ("side", SIDES))
    }
    schema = {
        "type": "object",
        "description": "Films of one patient: all fields with a file name, whatever the field's name",
        "properties": {"image": files, **texts},
        "required": ["image"],
    }
    return Media(("multipart/form-data",), schema)


@dataclass(frozen=True)
class UploadedFilm:
    """An image file of a request.

    Attributes:
        position: index in the request, from 0.
        name: file name, if one was sent.
        data: bytes of the file; None if it exceeded MAMMO_MAX_IMAGE_MB and was discarded.
        stated: view and side as stated by the sender.
    """

    position: int
    name: str | None
    data: bytes | None
    stated: ViewAndSide = UNSTATED

    def __str__(self) -> str:
        return f"film {self.position + 1}" + (f" ({self.name})" if self.name else "")


def films_sent(most: int) -> list[UploadedFilm]:
    """Return the films of the request: its body, or the files of its form.

    Raises:
        InputError: there is no film, there are too many, or their fields are invalid.
    """
    form: MultipartForm | None = g.get("form")
    if form is None:
        data = request_parsing.raw_body()
        if not data:
            raise InputError("the body is empty; send the unchanged bytes of an image file")
        return [UploadedFilm(0, None, data)]
    if not form.files:
        raise InputError("the form contains no file; send the image with a file name in a field such as 'image'")
    if len(form.files) > most:
        raise InputError(f"the form contains {len(form.files)} files; send at most {most} per request")
    stated = _stated(form)
    return [
        UploadedFilm(position, _display_name(file.name), file.data, stated[position])
        for position, file in enumerate(form.files)
    ]


def _stated(form: MultipartForm) -> list[ViewAndSide]:
    """Read the views and sides that the text fields of a form state for each film.

    Raises:
        InputError: a field has the wrong number of values or an unknown value.
    """
    views, sides = _stated_field(form, "view", VIEWS), _stated_field(form, "side", SIDES)
    return [ViewAndSide(view, side) for view, side in zip(views, sides, strict=True)]


def _stated_field(form: MultipartForm, name: str, allowed: tuple[T, ...]) -> list[T | None]:
    """Read the values of a text field, one per film; an empty value states nothing."""
    values, films = form.texts.get(name, ()), len(form.files)
    if not values:
        return [None] * films
    if len(values) != films:
        raise InputError(f"the form contains {films} films but {len(values)} fields '{name}'; send one per film")
    known: dict[str, T | None] = {"": None, **{str(value): value for value in allowed}}
    if any(value.strip().upper() not in known for value in values):
        raise InputError(
            f"a field '{name}' is not one of {', '.join(map(str, allowed))}; correct it, or leave it empty"
        )
    return [known[value.strip().upper()] for value in values]


def explain_of(options: PredictionQuery, point: OperatingPoint) -> Explain | None:
    """Return the explanation that the query requests, if any."""
    if options.explain is None:
        return None
    return explanation(point, None if options.explained is None else Label(options.explained))


def _display_name(name: str | None) -> str | None:
    """Shorten a file name for display, without folders and unprintable characters."""
    printable = "".join(letter for letter in re.split(r"[/\\]", name or "")[-1] if letter.isprintable())
    return printable[:_LONGEST_NAME] or None


def predict_all(
    service: InferenceService,
    model: ServedModel,
    images: Sequence[UploadedFilm],
    *,
    explain: Explain | None = None,
    timeout_ms: int | None = None,
) -> list[Prediction]:
    """Predict images one after the other; stop if the client disconnects.

    Raises:
        ImageError: names the image if there are several.
        MammoError: errors of `InferenceService.predict`.
    """
    return [
        predict_film(service, model, image, named=len(images) > 1, explain=explain, timeout_ms=timeout_ms)
        for image in images
    ]


def predict_film(
    service: InferenceService,
    model: ServedModel,
    film: UploadedFilm,
    *,
    named: bool,
    explain: Explain | None,
    timeout_ms: int | None,
) -> Prediction:
    """Predict one film.

    Raises:
        ImageError: names the film if `named`.
        MammoError: errors of `InferenceService.predict`.
    """
    connection = request.environ.get("gunicorn.socket")
    timeout_s = None if timeout_ms is None else timeout_ms / 1000
    try:
        if film.data is None:
            most = service.settings.serving.max_image_mb
            raise ImageTooLarge(f"the file exceeds {most} MB (MAMMO_MAX_IMAGE_MB); send a smaller one")
        return service.predict(
            model,
            film.data,
            explain=explain,
            stated=film.stated,
            timeout_s=timeout_s,
            is_gone=lambda: connection_closed(connection),
        )
    except ImageError as error:
        if named:
            error.args = (f"{film}: {error}",)
        raise
