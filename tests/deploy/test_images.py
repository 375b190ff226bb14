"""Images of others: all are found, and pinned by what a registry hands out."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shared.local.commands import ROOT
from tests.release.images import FILES, OURS, RegistryFault, digest_of, parsed, pinned, references, renew
from tests.support.manifests import compose

MANIFEST = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"

pytestmark = pytest.mark.external


class Registry(ThreadingHTTPServer):
    """A registry that has `team/tool:1`, with a token alone, and `team/odd:1`, of which it states another digest."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path.startswith("/token?"):
            scope = "scope=repository%3Ateam%2Ftool%3Apull" in self.path
            return self._answer(200 if scope else 400, b'{"token": "anonymous"}')
        if self.path == "/v2/team/odd/manifests/1":
            return self._answer(200, MANIFEST, ("Docker-Content-Digest", "sha256:" + "0" * 64))
        if self.path != "/v2/team/tool/manifests/1":
            return self._answer(404, b"{}")
        if self.headers.get("Authorization") != "Bearer anonymous":
            where = (
                f'Bearer realm="http://{self.server.host}/token",service="registry",scope="repository:team/tool:pull"'
            )
            return self._answer(401, b"{}", ("WWW-Authenticate", where))
        assert "application/vnd.oci.image.index.v1+json" in self.headers["Accept"]
        return self._answer(200, MANIFEST, ("Docker-Content-Digest", DIGEST))

    def _answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the log quiet."""


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class TestImages:
    @pytest.mark.parametrize(
        ("reference", "url"),
        [
            ("redis:8", "https://registry-1.docker.io/v2/library/redis/manifests/8"),
            ("prom/prometheus:v3.5.0", "https://registry-1.docker.io/v2/prom/prometheus/manifests/v3.5.0"),
            ("ghcr.io/versity/versitygw:v1.8.0", "https://ghcr.io/v2/versity/versitygw/manifests/v1.8.0"),
            ("127.0.0.1:5000/a/b:c", "http://127.0.0.1:5000/v2/a/b/manifests/c"),
        ],
    )
    def test_references_lead_to_the_registry_that_an_engine_would_ask(self, reference: str, url: str) -> None:
        assert parsed(reference).url == url

    def test_every_image_of_others_is_found(self) -> None:
        found = {each for name in FILES for each in references((ROOT / name).read_text())}
        run = {re.sub("@.*", "", service["image"]) for service in compose()["services"].values()}
        assert {image for image in run if not image.startswith(OURS)} | {"python:3.11-slim-bookworm"} == found
        assert len(found) > 8

    def test_a_digest_is_that_of_the_manifest(self, registry: Registry) -> None:
        assert digest_of(f"{registry.host}/team/tool:1") == DIGEST
        assert [path.partition("?")[0] for path in registry.asked] == [
            "/v2/team/tool/manifests/1",
            "/token",
            "/v2/team/tool/manifests/1",
        ]

    @pytest.mark.parametrize(("image", "why"), [("team/odd:1", "says sha256:0000"), ("team/none:1", "answers 404")])
    def test_what_a_registry_does_not_have_is_not_pinned(self, registry: Registry, image: str, why: str) -> None:
        with pytest.raises(RegistryFault, match=why):
            digest_of(f"{registry.host}/{image}")

    def test_files_get_the_digests_and_keep_everything_else(self, registry: Registry, tmp_path: Path) -> None:
        tool, gone = f"{registry.host}/team/tool:1", f"{registry.host}/team/none:1"
        old = "@sha256:" + "1" * 64
        text = (
            "services:\n"
            f"  a:\n    image: {tool}  \n"
            f"  b:\n    image: {tool}\n"
            f"  c:\n    image: {gone}{old}\n"
            "  d:\n    image: mammostack/augment:${VERSION:-dev}\n"
            f"    args: ${{PYTHON_IMAGE:-{tool}{old}}}\n"
        ).replace("  \n", "\n")
        (tmp_path / "compose.yml").write_text(text)
        (tmp_path / "Dockerfile").write_text(f"ARG PYTHON_IMAGE={tool}\nFROM ${{PYTHON_IMAGE}} AS base\n")
        faults = renew([tmp_path / "compose.yml", tmp_path / "Dockerfile"])
        assert faults == [f"{gone}: {registry.host} answers 404"]
        wanted = text.replace(f"{tool}{old}", tool).replace(tool, f"{tool}@{DIGEST}")
        assert (tmp_path / "compose.yml").read_text() == wanted
        assert (tmp_path / "Dockerfile").read_text().startswith(f"ARG PYTHON_IMAGE={tool}@{DIGEST}\n")

    def test_a_second_time_changes_nothing(self) -> None:
        for name in FILES:
            text = (ROOT / name).read_text()
            once = pinned(text, dict.fromkeys(references(text), DIGEST))
            assert pinned(once, dict.fromkeys(references(once), DIGEST)) == once
            assert once.count(DIGEST) == len(references(text)) > 0

    def test_no_registry_means_no_digest(self) -> None:
        with pytest.raises(RegistryFault, match=r"127\.0\.0\.1:1 can't be reached"):
            digest_of("127.0.0.1:1/team/tool:1")
