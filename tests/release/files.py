"""Write what is shipped with a release: SBOMs of the services, and a list of licences (`make release-files`).

Both are read from the environment, which has the versions of the lock files. An SBOM (CycloneDX, JSON) holds the
packages of the service's image; a package's licence is what its metadata state.
"""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from shared.local.commands import ROOT
from tests.release.lock import normalised, pins

TOOLS = ROOT / ".venv-release" / "bin"
PYTHON = ROOT / ".venv" / "bin" / "python"
SERVICES = ("augment", "segment", "train", "inference", "gateway")
ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CNRI-Python", "ISC", "MIT", "MIT-0"),
    *("MIT-CMU", "MPL-2.0", "PSF-2.0", "ZPL-2.1", "Zlib"),
}
"""SPDX identifiers. MPL-2.0 binds changes to its own files alone; packages are shipped as they are."""

CLASSIFIED = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "DFSG approved": "MIT",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""Names of licences in older metadata; of BSD's without a number the licence files have three clauses."""

WITH_EXCEPTION = "Apache-2.0 WITH LLVM-exception"


def licences() -> list[dict[str, str]]:
    """Return name, version and licence of every installed package."""
    command = [str(TOOLS / "pip-licenses"), f"--python={PYTHON}", "--from=mixed", "--format=json", "--with-system"]
    listed = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return [{"name": each["Name"], "version": each["Version"], "licence": each["License"]} for each in listed]


def refused(licence: str) -> list[str]:
    """Return what of a licence's text is not allowed: empty if one may use it.

    `A AND B` and lists with semicolons need all of them, `A OR B` one.
    """
    parts = [part.strip(" ()") for part in re.split(r" AND |;", licence.replace(WITH_EXCEPTION, "Apache-2.0"))]
    named = (CLASSIFIED.get(part, part) for part in _whole(licence, parts))
    return [part for part in named if not any(choice.strip() in ALLOWED for choice in part.split(" OR "))]


def _whole(licence: str, parts: list[str]) -> list[str]:
    """Return the parts, or the licence itself where its name has brackets of its own."""
    return [licence] if licence in CLASSIFIED else parts


def sbom(listed: list[dict[str, str]]) -> dict[str, Any]:
    """Return the SBOM of the whole environment; cyclonedx-py leaves out licences in some older metadata."""
    command = [str(TOOLS / "cyclonedx-py"), "environment", str(PYTHON), "--of", "JSON", "--output-reproducible"]
    whole = dict(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))
    known = {normalised(each["name"]): each["licence"] for each in listed}
    for component in whole["components"]:
        name = known.get(normalised(component["name"]), "UNKNOWN")
        component.setdefault("licenses", [{"license": {"name": name}}])
    return whole


def of_service(whole: dict[str, Any], service: str) -> dict[str, Any]:
    """Return the part of an SBOM that is in a service's image."""
    wanted = set(pins((ROOT / "services" / service / "requirements.lock").read_text()))
    wanted |= {"torch", "torchvision"} if service == "train" else set()
    components = [each for each in whole["components"] if normalised(each["name"]) in wanted]
    references = {each["bom-ref"] for each in components}
    edges = [
        {**each, "dependsOn": [one for one in each.get("dependsOn", ()) if one in references]}
        for each in whole.get("dependencies", ())
        if each["ref"] in references
    ]
    about = {"type": "container", "name": f"mammostack/{service}", "bom-ref": service}
    metadata = {**whole.get("metadata", {}), "component": about}
    return {**whole, "metadata": metadata, "components": components, "dependencies": edges}


def table(rows: list[dict[str, str]]) -> str:
    """Return licences as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["name", "version", "licence"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def main(folder: Path) -> None:
    """Write all files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = licences()
    whole = sbom(listed)
    for service in SERVICES:
        (folder / f"{service}.cdx.json").write_text(json.dumps(of_service(whole, service), indent=1) + "\n")
    (folder / "licences.csv").write_text(table(listed))
    print("\n".join(str(file) for file in sorted(folder.iterdir())))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
