"""Look all pins up in the advisories of the package index (`make audit`).

The exit status is 0 if every pin was looked up and none has an advisory, 1 if one has, and 3 if pins could not be
looked up: no connection, or a mirror that has no advisories.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from shared.local.commands import ROOT
from tests.release.lock import CONSTRAINTS, pins

PIP_AUDIT = ROOT / ".venv-release" / "bin" / "pip-audit"
NOT_AUDITED = 3


@dataclass(frozen=True)
class Audit:
    """Number of pins that were looked up, advisories of each that has one, and pins that were not looked up."""

    audited: int
    advisories: dict[str, list[str]]
    skipped: list[str]

    @property
    def status(self) -> int:
        """Exit status."""
        if self.advisories:
            return 1
        return NOT_AUDITED if self.skipped or not self.audited else 0

    def lines(self) -> list[str]:
        """Return what to print."""
        found = [f"{pin}: {', '.join(names)}" for pin, names in sorted(self.advisories.items())]
        found.append(f"{self.audited} pins were looked up, {len(self.advisories)} of them have advisories")
        if self.skipped:
            found.append(f"{len(self.skipped)} pins could not be looked up, such as {self.skipped[0]}")
        return found


def read(report: str) -> Audit:
    """Read pip-audit's report in JSON."""
    packages = json.loads(report)["dependencies"]
    known = [package for package in packages if "vulns" in package]
    return Audit(
        audited=len(known),
        advisories={
            f"{each['name']}=={each['version']}": [
                f"{advisory['id']} (fixed in {', '.join(advisory['fix_versions']) or 'no release yet'})"
                for advisory in each["vulns"]
            ]
            for each in known
            if each["vulns"]
        },
        skipped=[package["name"] for package in packages if "vulns" not in package],
    )


def audit(requirements: Path) -> Audit | None:
    """Audit a list of pins; None: pip-audit could not."""
    command = [str(PIP_AUDIT), "--disable-pip", "--no-deps", "--format=json", "--progress-spinner=off"]
    done = subprocess.run([*command, "-r", str(requirements)], capture_output=True, text=True, check=False)
    try:
        return read(done.stdout)
    except ValueError:
        print(done.stderr.strip().splitlines()[-1:], file=sys.stderr)
        return None


def main() -> None:
    """Audit constraints.txt."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(f"{name}=={version}\n" for name, version in pins(CONSTRAINTS.read_text()).items()))
        file.flush()
        found = audit(Path(file.name))
    if found is None:
        print("nothing was audited: the package index with its advisories can't be reached")
        sys.exit(NOT_AUDITED)
    print("\n".join(found.lines()))
    sys.exit(found.status)


if __name__ == "__main__":
    main()
