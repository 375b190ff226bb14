"""Typed client of the inference API: image files in, types of `shared.api` out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from pydantic import BaseModel, ValidationError

from shared.addresses import is_loopback
from shared.api.batches import Batch, BatchLine, BatchList, BatchRequest
from shared.api.exams import ExamPrediction
from shared.api.films import Laterality
from shared.api.predictions import ClassName, HeatmapStyle, PredictionAnswer
from shared.api.problem import Problem
from shared.api.service import ModelList, Ready, UsageLimits
from shared.errors import InputError, MammoError, ModelNotReady
from shared.modelling.card import ModelCard

T = TypeVar("T", bound=BaseModel)
_TIMEOUT_S = 60
_BINARY = {"Content-Type": "application/octet-stream"}


class ApiError(MammoError):
    """A request that the inference service rejected or did not receive.

    Attributes:
        problem: the service's problem document, if it sent one.
        retry_after_s: seconds until a retry is useful, if the service stated it.
    """

    code = "api"

    def __init__(self, message: str, problem: Problem | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.problem = problem
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class FilmUpload:
    """A film of an exam: bytes of its file, name, and stated view and side."""

    data: bytes
    name: str | None = None
    view: str | None = None
    side: Laterality | None = None


class InferenceClient:
    """Client of one inference service, such as `http://127.0.0.1:8080`.

    Not thread-safe. Every method raises ApiError with the service's message, and ModelNotReady while the service has no
    model loaded.
    """

    def __init__(self, url: str, key: str | None, timeout_s: float = _TIMEOUT_S) -> None:
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._session = requests.Session()
        if is_loopback(_host(self._url)):
            self._session.trust_env = False  # no proxy reaches this machine's loopback
        if key:
            self._session.headers["Authorization"] = f"Bearer {key}"

    def predict(
        self,
        image: bytes,
        *,
        operating_point: str = "screening",
        heatmap: bool = False,
        explained: ClassName | None = None,
    ) -> PredictionAnswer:
        """Predict one image file.

        Args:
            image: bytes of the file.
            operating_point: an operating point of the model's card.
            heatmap: request the class-activation map as well.
            explained: class to explain; default: the class of the decision.
        """
        query = _query(operating_point, explained, explain="heatmap" if heatmap else None)
        return self._get(PredictionAnswer, "POST", "/v1/predictions", params=query, data=image, headers=_BINARY)

    def predict_exam(
        self,
        films: Sequence[FilmUpload],
        *,
        operating_point: str = "screening",
        heatmap: bool = False,
        explained: ClassName | None = None,
        form: HeatmapStyle | None = None,
    ) -> ExamPrediction:
        """Predict 1 to 12 films of one patient: by film, by breast and as an exam.

        A film that can't be processed has a problem instead of a finding. `form` is that of the class-activation maps.
        """
        query = _query(operating_point, explained, explain="heatmap" if heatmap else None, form=form)
        files = [("image", (film.name or f"film{number}", film.data)) for number, film in enumerate(films)]
        texts: dict[str, list[str]] = {}
        if any(film.view for film in films):
            texts["view"] = [film.view or "" for film in films]
        if any(film.side for film in films):
            texts["side"] = [film.side or "" for film in films]
        return self._get(ExamPrediction, "POST", "/v1/exams", params=query, files=files, data=texts)

    def explain(self, image: bytes, *, explained: ClassName | None = None) -> bytes:
        """Return the class-activation map: a PNG overlay with transparency."""
        query = _query("screening", explained)
        return self._send("POST", "/v1/explanations", params=query, data=image, headers=_BINARY).content

    def ready(self) -> bool:
        """Return True if a model is loaded."""
        try:
            self.model()
        except (ApiError, ModelNotReady):
            return False
        return True

    def model(self) -> Ready:
        """Return network and version of the loaded model."""
        return self._get(Ready, "GET", "/readyz")

    def models(self) -> ModelList:
        """List the served networks."""
        return self._get(ModelList, "GET", "/v1/models")

    def card(self, network: str) -> ModelCard:
        """Return the card of the served version of a network."""
        return self._get(ModelCard, "GET", f"/v1/models/{network}/card")

    def usage_limits(self) -> UsageLimits:
        """Return accepted formats and limits of use."""
        return self._get(UsageLimits, "GET", "/v1/usage-limits")

    def create_batch(self, request: BatchRequest, idempotency_key: str | None = None) -> Batch:
        """Create a batch from images of the object store.

        The same idempotency key with the same request returns the same batch.
        """
        headers = {
            "Content-Type": "application/json",
            **({"Idempotency-Key": idempotency_key} if idempotency_key else {}),
        }
        return self._get(
            Batch, "POST", "/v1/batches", data=request.model_dump_json(exclude_unset=True), headers=headers
        )

    def batch(self, batch: str) -> Batch:
        """Return the state of a batch."""
        return self._get(Batch, "GET", f"/v1/batches/{batch}")

    def batches(self, limit: int = 20) -> BatchList:
        """List the newest batches of the key's name."""
        return self._get(BatchList, "GET", "/v1/batches", params={"limit": limit})

    def batch_results(self, batch: str) -> Iterator[BatchLine]:
        """Yield the results so far, in the order of the images."""
        with self._send("GET", f"/v1/batches/{batch}/results", stream=True) as response:
            try:
                for line in response.iter_lines():
                    yield BatchLine.model_validate_json(line)
            except (requests.RequestException, ValidationError) as error:
                raise ApiError("the results ended early; request them again") from error

    def resume_batch(self, batch: str) -> Batch:
        """Enqueue the missing images of a batch."""
        return self._get(Batch, "POST", f"/v1/batches/{batch}/resume")

    def cancel_batch(self, batch: str) -> Batch:
        """Cancel a batch; finished results are kept."""
        return self._get(Batch, "POST", f"/v1/batches/{batch}/cancel")

    def _get(self, kind: type[T], method: str, path: str, **options: Any) -> T:
        response = self._send(method, path, **options)
        try:
            return kind.model_validate_json(response.content)
        except ValidationError as error:
            raise ApiError(
                f"{self._url} did not return a valid {kind.__name__}; check that --url is a Mammostack "
                "service of this release"
            ) from error

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        try:
            response = self._session.request(method, self._url + path, timeout=self._timeout_s, **options)
        except requests.ConnectionError as error:
            raise ApiError(
                f"no server answers at {self._url}; start one with `mammo serve`, or correct --url"
            ) from error
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema):
            raise ApiError(f"{self._url} is not the address of a service; give --url http://HOST:PORT") from None
        except requests.RequestException as error:
            raise ApiError(f"{self._url} sent no valid HTTP response: {error}; check --url") from error
        if response.ok:
            return response
        raise _refusal(response)


def _query(operating_point: str, explained: ClassName | None, **others: str | None) -> dict[str, str]:
    parameters = {"operating_point": operating_point, "class": explained, **others}
    return {name: value for name, value in parameters.items() if value is not None}


def read_image(path: Path) -> bytes:
    """Read an image file.

    Raises:
        InputError: the file can't be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from error


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # the first request says what is wrong with it
        return ""


def _refusal(response: requests.Response) -> MammoError:
    """Convert a response other than 2xx to an error."""
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        return ApiError(
            f"the service answered {response.status_code} {response.reason} without a problem document; check "
            "that --url is a Mammostack service"
        )
    if problem.title == ModelNotReady.code:
        return ModelNotReady(problem.detail)
    wait = response.headers.get("Retry-After", "")
    retry_after_s = int(wait) if wait.isdecimal() else None
    if response.status_code in (401, 403):
        return ApiError(f"{problem.detail}; this command sends the key of MAMMO_API_KEY", problem, retry_after_s)
    return ApiError(f"the service answered {response.status_code}: {problem.detail}", problem, retry_after_s)
