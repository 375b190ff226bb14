"""A thin typed client of the inference API: image files in, the types of `shared.api` out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import requests
from pydantic import BaseModel, ValidationError

from shared.api.batches import Batch, BatchLine, BatchList, BatchRequest
from shared.api.exams import ExamPrediction
from shared.api.films import Side
from shared.api.predictions import ClassName, PredictionAnswer
from shared.api.problem import Problem
from shared.api.service import ModelList, Ready, UsageLimits
from shared.errors import InputError, MammoError, ModelNotReady
from shared.modelling.card import ModelCard

T = TypeVar("T", bound=BaseModel)
_TIMEOUT_S = 60
_BINARY = {"Content-Type": "application/octet-stream"}


class ApiError(MammoError):
    """The inference service refused the request, or could not be reached.

    `problem` is what it said, None where it said nothing; `retry_after_s` is set where it told to come back.
    """

    code = "api"

    def __init__(self, message: str, problem: Problem | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.problem = problem
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class SentFilm:
    """A film of an exam: the bytes of its file, its name, and what the sender states of it where the file does not."""

    data: bytes
    name: str | None = None
    view: str | None = None
    side: Side | None = None


class InferenceClient:
    """Talks to one inference service, such as `http://127.0.0.1:8080`, with an API key. One thread at a time.

    Every method raises ApiError with the service's own words, and ModelNotReady while no model is loaded there.
    """

    def __init__(self, url: str, key: str | None, timeout_s: float = _TIMEOUT_S) -> None:
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._session = requests.Session()
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
        """Predict one image file. With `heatmap` the answer holds the class-activation map of the class `explained`,
        by default that of the decision."""
        query = _query(operating_point, explained, explain="heatmap" if heatmap else None)
        return self._get(PredictionAnswer, "POST", "/v1/predictions", params=query, data=image, headers=_BINARY)

    def predict_exam(
        self,
        films: Sequence[SentFilm],
        *,
        operating_point: str = "screening",
        heatmap: bool = False,
        explained: ClassName | None = None,
    ) -> ExamPrediction:
        """Predict one to twelve films of one patient, film by film, by breast and together. A film that can't be judged
        has a problem in place of its finding."""
        query = _query(operating_point, explained, explain="heatmap" if heatmap else None)
        files = [("image", (film.name or f"film{number}", film.data)) for number, film in enumerate(films)]
        texts: dict[str, list[str]] = {}
        if any(film.view for film in films):
            texts["view"] = [film.view or "" for film in films]
        if any(film.side for film in films):
            texts["side"] = [film.side or "" for film in films]
        return self._get(ExamPrediction, "POST", "/v1/exams", params=query, files=files, data=texts)

    def explain(self, image: bytes, *, explained: ClassName | None = None) -> bytes:
        """The class-activation map alone: a PNG with transparency, to be laid over the film."""
        query = _query("screening", explained)
        return self._send("POST", "/v1/explanations", params=query, data=image, headers=_BINARY).content

    def ready(self) -> bool:
        """Whether a model is loaded."""
        try:
            self.model()
        except (ApiError, ModelNotReady):
            return False
        return True

    def model(self) -> Ready:
        """Network and version that answer."""
        return self._get(Ready, "GET", "/readyz")

    def models(self) -> ModelList:
        return self._get(ModelList, "GET", "/v1/models")

    def card(self, network: str) -> ModelCard:
        return self._get(ModelCard, "GET", f"/v1/models/{network}/card")

    def usage_limits(self) -> UsageLimits:
        return self._get(UsageLimits, "GET", "/v1/usage-limits")

    def create_batch(self, asked: BatchRequest, idempotency_key: str | None = None) -> Batch:
        """Has workers predict images of the object store. The same key with the same request gives the same batch."""
        headers = {
            "Content-Type": "application/json",
            **({"Idempotency-Key": idempotency_key} if idempotency_key else {}),
        }
        return self._get(Batch, "POST", "/v1/batches", data=asked.model_dump_json(exclude_unset=True), headers=headers)

    def batch(self, batch: str) -> Batch:
        """How far a batch is."""
        return self._get(Batch, "GET", f"/v1/batches/{batch}")

    def batches(self, limit: int = 20) -> BatchList:
        return self._get(BatchList, "GET", "/v1/batches", params={"limit": limit})

    def batch_results(self, batch: str) -> Iterator[BatchLine]:
        """What there is of the results, in the order of the images, as it comes."""
        with self._send("GET", f"/v1/batches/{batch}/results", stream=True) as response:
            try:
                for line in response.iter_lines():
                    yield BatchLine.model_validate_json(line)
            except (requests.RequestException, ValidationError) as error:
                raise ApiError("the results broke off; ask for them again") from error

    def resume_batch(self, batch: str) -> Batch:
        return self._get(Batch, "POST", f"/v1/batches/{batch}/resume")

    def cancel_batch(self, batch: str) -> Batch:
        return self._get(Batch, "POST", f"/v1/batches/{batch}/cancel")

    def _get(self, form: type[T], method: str, path: str, **options: Any) -> T:
        response = self._send(method, path, **options)
        try:
            return form.model_validate_json(response.content)
        except ValidationError as error:
            raise ApiError(
                f"{self._url} answered something else than a {form.__name__}; is it this release of the service?"
            ) from error

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        try:
            response = self._session.request(method, self._url + path, timeout=self._timeout_s, **options)
        except requests.ConnectionError as error:
            raise ApiError(f"nothing answers at {self._url}; start it with `mammo serve`, or mend --url") from error
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema):
            raise ApiError(f"{self._url} is no address of a service; give --url http://HOST:PORT") from None
        except requests.RequestException as error:
            raise ApiError(f"{self._url} did not answer as an inference service does: {error}") from error
        if response.ok:
            return response
        raise _refusal(response)


def _query(operating_point: str, explained: ClassName | None, **others: str | None) -> dict[str, str]:
    given = {"operating_point": operating_point, "class": explained, **others}
    return {name: value for name, value in given.items() if value is not None}


def read_image(path: Path) -> bytes:
    """The bytes of an image file. Raises InputError when it can't be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from error


def _refusal(response: requests.Response) -> MammoError:
    """The error that an answer other than 2xx stands for."""
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        return ApiError(f"the service answered {response.status_code} {response.reason}; is it one of Mammostack's?")
    if problem.title == ModelNotReady.code:
        return ModelNotReady(problem.detail)
    wait = response.headers.get("Retry-After", "")
    retry_after_s = int(wait) if wait.isdecimal() else None
    if response.status_code in (401, 403):
        return ApiError(f"{problem.detail}; this command sends the key of MAMMO_API_KEY", problem, retry_after_s)
    return ApiError(f"the service answered {response.status_code}: {problem.detail}", problem, retry_after_s)
