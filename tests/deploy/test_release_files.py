"""Files of a release: SBOMs that list what an image has, licences that are all allowed, advisories that are read."""

import json
from pathlib import Path

import pytest

from shared.local.commands import ROOT
from tests.release import files
from tests.release.audit import NOT_AUDITED, Audit, read
from tests.release.lock import normalised, pins

pytestmark = pytest.mark.slow

with_tools = pytest.mark.skipif(not files.TOOLS.exists(), reason="not set up: make .venv-release/ready")


def package(name: str, *advisories: tuple[str, list[str]]) -> dict[str, object]:
    vulns = [{"id": name, "fix_versions": fixed, "aliases": [], "description": ""} for name, fixed in advisories]
    return {"name": name, "version": "1.0", "vulns": vulns}


class TestAudit:
    def test_an_advisory_is_named_with_the_release_that_has_it_no_more(self) -> None:
        found = read(json.dumps({"dependencies": [package("a"), package("b", ("PYSEC-1", ["1.1"]), ("PYSEC-2", []))]}))
        assert found.status == 1
        assert found.lines()[0] == "b==1.0: PYSEC-1 (fixed in 1.1), PYSEC-2 (fixed in no release yet)"

    def test_pins_that_were_not_looked_up_are_no_clean_result(self) -> None:
        found = read(json.dumps({"dependencies": [package("a"), {"name": "b", "skip_reason": "not found"}]}))
        assert found == Audit(1, {}, ["b"])
        assert found.status == NOT_AUDITED
        assert found.lines()[-1] == "1 pins could not be looked up, such as b"

    def test_a_clean_result_is_one_of_all_pins(self) -> None:
        assert read(json.dumps({"dependencies": [package("a")]})).status == 0
        assert read(json.dumps({"dependencies": []})).status == NOT_AUDITED


class TestReleaseFiles:
    @with_tools
    def test_every_package_has_a_licence_that_is_allowed(self) -> None:
        listed = files.licences()
        assert len(listed) > 150
        assert {each["name"]: found for each in listed if (found := files.refused(each["licence"]))} == {}

    @pytest.mark.parametrize(
        ("licence", "wrong"),
        [
            ("MIT", []),
            ("BSD License", []),
            ("Mozilla Public License 2.0 (MPL 2.0)", []),
            ("Apache Software License; BSD License", []),
            ("Apache-2.0 AND Apache-2.0 WITH LLVM-exception AND BSL-1.0", []),
            ("GPL-3.0-only OR MIT", []),
            ("GPL-3.0-only", ["GPL-3.0-only"]),
            ("MIT AND AGPL-3.0-or-later", ["AGPL-3.0-or-later"]),
            ("MIT License; GNU General Public License v3 (GPLv3)", ["GNU General Public License v3 (GPLv3"]),
            ("UNKNOWN", ["UNKNOWN"]),
        ],
    )
    def test_another_licence_is_refused(self, licence: str, wrong: list[str]) -> None:
        assert files.refused(licence) == wrong

    @with_tools
    def test_sbom_of_each_service_lists_the_packages_of_its_image_with_licences(self, tmp_path: Path) -> None:
        files.main(tmp_path)
        for service in files.SERVICES:
            document = json.loads((tmp_path / f"{service}.cdx.json").read_text())
            assert document["bomFormat"] == "CycloneDX"
            assert document["metadata"]["component"]["name"] == f"mammostack/{service}"
            listed = {normalised(each["name"]): each for each in document["components"]}
            locked = pins((ROOT / "services" / service / "requirements.lock").read_text())
            extra = {"torch", "torchvision"} if service == "train" else set()
            not_here = {"async-timeout"}  # for other releases of Python
            assert listed.keys() | not_here == locked.keys() | extra | not_here
            assert not [name for name, each in listed.items() if "UNKNOWN" in json.dumps(each["licenses"])]
            assert all(
                each["version"].partition("+")[0] == locked.get(name, each["version"].partition("+")[0])
                for name, each in listed.items()
            )
            edges = {each["ref"]: each for each in document["dependencies"]}
            assert edges.keys() <= {each["bom-ref"] for each in document["components"]}
            assert str(ROOT) not in json.dumps(document)
        lines = (tmp_path / "licences.csv").read_text().splitlines()
        assert lines[0] == "name,version,licence"
        assert any(line.startswith("numpy,") for line in lines)
