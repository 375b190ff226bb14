"""Write the lock files: every pin of constraints.txt with the hashes of its files (`make lock`).

pip installs them with `--require-hashes`, so that a package index can't hand out other files than those that were
tested. Left out are torch, torchvision and what only torch's wheel for GPUs brings: a CPU build comes from an index of
its own, with hashes of its own. requirements-torch.txt pins them.
"""

import re
import subprocess
import tempfile
import tomllib
from typing import Any
from urllib.parse import unquote

from packaging.utils import parse_wheel_filename

from shared.local.commands import ROOT

UV = ROOT / ".venv-release" / "bin" / "uv"
CONSTRAINTS = ROOT / "constraints.txt"
LOCKS = {
    "requirements-dev.txt": "requirements-dev.lock",
    "shared/requirements.txt": "shared/requirements.lock",
    **{
        f"services/{service}/requirements.txt": f"services/{service}/requirements.lock"
        for service in ("augment", "segment", "train", "inference", "gateway")
    },
}
"""Requirements, and the lock file made of them."""

FROZEN = (
    "tests/deploy/tools/requirements.txt",
    "tests/integration/kserve/requirements.txt",
    "tests/release/requirements.txt",
)
"""Lists of pins of environments of their own, into which the hashes are written."""

HEADER = "# Made by `make lock` of {source} and constraints.txt, for CPython 3.11 on Linux and macOS.\n"
_UNLOCKED = re.compile(r"torch|torchvision|triton|(nvidia|cuda)-.+")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
_EVERYWHERE = "python_full_version >= '3.11'"


def normalised(name: str) -> str:
    """Return a package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    """Return the version of each package of a list of pins."""
    found = re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==([^\s;\\]+)", text, re.MULTILINE)
    return {normalised(name): version for name, version in found}


def hashes(text: str) -> dict[str, list[str]]:
    """Return the hashes of each package of a lock file."""
    blocks = re.findall(r"^([\w.-]+)==[^\n]*\n((?: +--hash=[^\n]*\n?)*)", text, re.MULTILINE)
    return {normalised(name): _HASH.findall(listed) for name, listed in blocks}


def lines(package: dict[str, Any]) -> str:
    """Return the lines of a package in a lock file: its pin, and the hash of each file that we may install."""
    files = [package["sdist"]] if "sdist" in package else []
    files += [wheel for wheel in package.get("wheels", ()) if fits(wheel["url"].rpartition("/")[2])]
    marker = package.get("marker", _EVERYWHERE)
    pin = f"{package['name']}=={package['version']}" + ("" if marker == _EVERYWHERE else f" ; {marker}")
    return " \\\n".join([pin, *(f"    --hash=sha256:{digest}" for digest in sorted(map(_digest, files)))])


def fits(wheel: str) -> bool:
    """Return True for a wheel that CPython 3.11 takes on Linux or macOS."""
    for tag in parse_wheel_filename(unquote(wheel))[3]:
        release = re.fullmatch(r"(?:cp|py)3(\d*)", tag.interpreter)
        python = release and (
            release[1] in ("", "11") or (tag.abi in ("abi3", "none") and int(release[1]) <= 11)  # with what came before
        )
        if python and re.match(r"any|manylinux|linux|macosx", tag.platform):
            return True
    return False


def locked(packages: list[dict[str, Any]]) -> str:
    """Return the text of a lock file, without what can't be locked or is for Windows alone."""
    kept = [
        package
        for package in packages
        if not _UNLOCKED.fullmatch(package["name"]) and "sys_platform == 'win32'" not in package.get("marker", "")
    ]
    return "".join(lines(package) + "\n" for package in kept)


def resolved(*arguments: str) -> list[dict[str, Any]]:
    """Return the packages that uv makes of requirements, as a pylock.toml lists them (PEP 751).

    Raises:
        SystemExit: there is no solution; uv has said why.
    """
    command = [str(UV), "pip", "compile", "--quiet", "--no-config", "--format=pylock.toml", *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit("make lock: the pins could not be resolved; see above")
    return list(tomllib.loads(done.stdout)["packages"])


def frozen(text: str) -> str:
    """Return a list of pins with the hashes of its packages; its comments stay in front."""
    comments = "".join(line + "\n" for line in text.splitlines() if line.startswith("#"))
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(f"{name}=={version}" for name, version in pins(text).items()))
        file.flush()
        return comments + locked(resolved("--no-deps", file.name))


def _digest(file: dict[str, Any]) -> str:
    return str(file["hashes"]["sha256"])


def main() -> None:
    """Write all lock files."""
    for source, target in LOCKS.items():
        packages = resolved("--universal", "--python-version=3.11", f"--constraint={CONSTRAINTS}", source)
        (ROOT / target).write_text(HEADER.format(source=source) + locked(packages))
    for name in FROZEN:
        file = ROOT / name
        file.write_text(frozen(file.read_text()))


if __name__ == "__main__":
    main()
