"""The client and proxies: loopback is never asked of one, other addresses are."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from shared.client import ApiError, InferenceClient
from shared.settings import StoreSettings
from shared.store.s3 import S3Store

pytestmark = pytest.mark.external


class Recorder(HTTPServer):
    """A server on loopback that records the targets of its requests."""

    asked: list[str]


class Handler(BaseHTTPRequestHandler):
    """Answer everything with 404, as a proxy that reaches nothing or a service without the route."""

    def do_GET(self) -> None:
        assert isinstance(self.server, Recorder)
        self.server.asked.append(self.path)
        self.send_error(404)

    do_HEAD = do_GET  # noqa: N815  as the base class has it

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[Recorder]:
    yield from _serving()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    for serving in _serving():
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{serving.server_port}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield serving


def _serving() -> Iterator[Recorder]:
    with Recorder(("127.0.0.1", 0), Handler) as running:
        running.asked = []
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


class TestInferenceClient:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST"])
    def test_loopback_goes_through_no_proxy(self, server: Recorder, proxy: Recorder, host: str) -> None:
        with pytest.raises(ApiError):
            InferenceClient(f"http://{host}:{server.server_port}", None).model()
        assert proxy.asked == []
        assert server.asked

    def test_other_hosts_go_through_the_proxy_of_the_environment(self, proxy: Recorder) -> None:
        with pytest.raises(ApiError):
            InferenceClient("http://inference.invalid", None).model()
        assert all(target.startswith("http://inference.invalid/") for target in proxy.asked)
        assert proxy.asked

    @pytest.mark.parametrize("url", ["http://[", "nonsense", ""])
    def test_an_address_that_is_none_is_told_at_the_first_request(self, url: str) -> None:
        with pytest.raises(ApiError):
            InferenceClient(url, None).model()


class TestClient:
    def test_a_bucket_on_loopback_goes_through_no_proxy(
        self, server: Recorder, proxy: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "tests")
        endpoint = f"http://127.0.0.1:{server.server_port}"
        store = S3Store.from_settings(StoreSettings(url="s3://bucket", s3_endpoint_url=endpoint))
        assert not store.exists("raw/x")
        assert proxy.asked == []
        assert server.asked == ["/bucket/raw/x"]
