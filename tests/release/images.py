"""Pin the images that others make by the digests that their registries state now (`make renew-images`).

The tag stays in front of the digest, so that a reader sees the release: `redis:8@sha256:...`. Registries are queried by
the OCI distribution specification; the digest is computed from the manifest itself.
"""

import hashlib
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import requests

from shared.local.commands import ROOT

FILES = (
    "docker-compose.yml",
    "deploy/docker/Dockerfile",
    "deploy/docker/standin-s3/Dockerfile",
    "deploy/k8s/overlays/local/redis.yaml",
    "deploy/k8s/overlays/local/s3.yaml",
)
OURS = "mammostack/"
HUB = "registry-1.docker.io"
ACCEPTED = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_NAMED = re.compile(
    r"(?P<before>^\s*image: |\$\{PYTHON_IMAGE:-|^ARG PYTHON_IMAGE=)"
    r"(?P<reference>[\w./:-]+?:[\w.-]+)(?P<digest>@sha256:[0-9a-f]{64})?(?=\}?$)",
    re.MULTILINE,
)
_TIMEOUT_S = 20


class RegistryFault(Exception):
    """A registry that can't be reached, or that has no such image."""


@dataclass(frozen=True)
class Reference:
    """Where an image lies: `https://HOST/v2/NAME/manifests/TAG`."""

    host: str
    name: str
    tag: str

    @property
    def url(self) -> str:
        """Address of the manifest; a registry on loopback has no TLS."""
        return f"{'http' if _is_loopback(self.host) else 'https'}://{self.host}/v2/{self.name}/manifests/{self.tag}"


def parsed(reference: str) -> Reference:
    """Return where a reference such as `redis:8` or `ghcr.io/versity/versitygw:v1.8.0` leads."""
    path, _, tag = reference.rpartition(":")
    first, _, rest = path.partition("/")
    if rest and re.search(r"[.:]|^localhost$", first):
        return Reference(first, rest, tag)
    return Reference(HUB, path if rest else f"library/{path}", tag)


def digest_of(reference: str) -> str:
    """Return the digest that a tag has now, as `sha256:...`.

    Raises:
        RegistryFault: the registry can't be reached, has no such image, or hands out another manifest than it says.
    """
    place = parsed(reference)
    try:
        answer = requests.get(place.url, headers={"Accept": ACCEPTED}, timeout=_TIMEOUT_S)
        if answer.status_code == 401:
            bearer = _token(answer.headers.get("WWW-Authenticate", ""))
            headers = {"Accept": ACCEPTED, "Authorization": f"Bearer {bearer}"}
            answer = requests.get(place.url, headers=headers, timeout=_TIMEOUT_S)
    except requests.RequestException as error:
        raise RegistryFault(f"{reference}: {place.host} can't be reached ({type(error).__name__})") from error
    if answer.status_code != 200:
        raise RegistryFault(f"{reference}: {place.host} answers {answer.status_code}")
    digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
    stated = answer.headers.get("Docker-Content-Digest", digest)
    if stated != digest:
        raise RegistryFault(f"{reference}: the manifest is {digest}, and {place.host} says {stated}")
    return digest


def references(text: str) -> list[str]:
    """Return the images of others that a file names, without digests."""
    return [found["reference"] for found in _NAMED.finditer(text) if not found["reference"].startswith(OURS)]


def pinned(text: str, digests: dict[str, str]) -> str:
    """Return a file's text with these digests; other images stay as they are."""

    def pin(found: re.Match[str]) -> str:
        digest = digests.get(found["reference"])
        return found["before"] + found["reference"] + (f"@{digest}" if digest else found["digest"] or "")

    return _NAMED.sub(pin, text)


def renew(files: Iterable[Path], ask: Callable[[str], str] = digest_of) -> list[str]:
    """Write the digests of today into files; return what could not be had."""
    files = list(files)
    digests, faults = dict[str, str](), list[str]()
    for reference in sorted({each for file in files for each in references(file.read_text())}):
        try:
            digests[reference] = ask(reference)
        except RegistryFault as fault:
            faults.append(str(fault))
        else:
            print(f"{reference}@{digests[reference]}")
    for file in files:
        before = file.read_text()
        if (after := pinned(before, digests)) != before:
            file.write_text(after)
    return faults


def _token(challenge: str) -> str:
    """Return an anonymous token, from where a registry says that there is one."""
    parts = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm = parts.pop("realm", "")
    if not challenge.startswith("Bearer ") or not realm:
        raise requests.RequestException("no way to a token")
    answer = requests.get(realm, params=parts, timeout=_TIMEOUT_S)
    answer.raise_for_status()
    document = answer.json()
    return str(document.get("token") or document.get("access_token"))


def _is_loopback(host: str) -> bool:
    name = host.rpartition(":")[0] or host
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def main() -> None:
    """Renew all files of the repository; the status is 1 if a digest could not be had."""
    faults = renew(ROOT / name for name in FILES)
    for fault in faults:
        print(f"not pinned: {fault}", file=sys.stderr)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
