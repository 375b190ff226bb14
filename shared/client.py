"""A thin client of the inference API."""

from pathlib import Path
from typing import Any

import requests

from shared.errors import InputError, MammoError, ModelNotReady

_TIMEOUT_S = 60


class ApiError(MammoError):
    """The inference service refused the request, or could not be reached."""

    code = "api"


class InferenceClient:
    """Talks to one inference service, such as `http://127.0.0.1:8080`, with an API key."""

    def __init__(self, url: str, key: str | None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def predict(self, image: bytes) -> dict[str, Any]:
        """The service's answer for one image file. Raises ApiError with the service's own words."""
        return self._json("POST", "/v1/predictions", image)

    def ready(self) -> bool:
        """Whether a model is loaded."""
        try:
            self._json("GET", "/readyz")
        except (ApiError, ModelNotReady):
            return False
        return True

    def model(self) -> dict[str, Any]:
        """Network and version that answer. Raises ModelNotReady."""
        return self._json("GET", "/readyz")

    def _json(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        try:
            response = requests.request(method, self._url + path, data=body, headers=self._headers, timeout=_TIMEOUT_S)
            answer = response.json()
        except requests.ConnectionError as error:
            raise ApiError(f"nothing answers at {self._url}; start it with `mammo serve`, or mend --url") from error
        except requests.RequestException as error:
            raise ApiError(f"{self._url} did not answer as an inference service does: {error}") from error
        if response.status_code == 503:
            raise ModelNotReady(answer.get("detail", "the service is not ready"))
        if response.status_code in (401, 403):
            raise ApiError(f"{answer.get('detail', response.reason)}; this command sends the key of MAMMO_API_KEY")
        if not response.ok:
            raise ApiError(f"the service answered {response.status_code}: {answer.get('detail', response.reason)}")
        return dict(answer)


def read_image(path: Path) -> bytes:
    """The bytes of an image file. Raises InputError when it can't be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from error
