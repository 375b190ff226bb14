"""The dashboards as documents: what Grafana needs is there, ids and places are unique, runbooks exist."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.local.commands import ROOT
from tests.support.judges import complaints, with_tools
from tests.support.series import exported

GRAFANA = ROOT / "deploy" / "grafana"
BOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))


@pytest.fixture(params=BOARDS, ids=lambda path: path.stem)
def board(request: pytest.FixtureRequest) -> Any:
    return json.loads(request.param.read_text())


class TestDashboards:
    def test_there_are_two_of_their_own(self) -> None:
        boards = [json.loads(path.read_text()) for path in BOARDS]
        assert len({board["uid"] for board in boards}) == len({board["title"] for board in boards}) == 2

    def test_panels_have_ids_and_places_of_their_own(self, board: Any) -> None:
        panels = board["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        taken: set[tuple[int, int]] = set()
        for place in (panel["gridPos"] for panel in panels):
            cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
            assert place["x"] + place["w"] <= 24
            assert not cells & taken, place
            taken |= cells

    def test_every_panel_asks_the_chosen_prometheus_for_series_that_are_exported(self, board: Any) -> None:
        (variable,) = board["templating"]["list"]
        assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
        for panel in board["panels"]:
            if panel["type"] == "row":
                continue
            assert panel["targets"], panel["title"]
            assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
            for target in panel["targets"]:
                assert target["datasource"] == {"type": "prometheus", "uid": f"${{{variable['name']}}}"}
                asked = set(re.findall(r"\b(?:mammo|celery|request)_\w+", target["expr"]))
                bare = {re.sub("_(bucket|sum|count)$", "", name) for name in asked}
                assert asked or "up{" in target["expr"]
                assert bare <= exported(), panel["title"]

    @with_tools
    def test_grafana_knows_all_that_they_say(self) -> None:
        assert complaints(*BOARDS) == []

    @with_tools
    def test_what_grafana_does_not_know_is_found(self, tmp_path: Path) -> None:
        wrong = json.loads(BOARDS[0].read_text())
        wrong["refresch"] = "30s"
        panels = {panel["type"]: panel for panel in wrong["panels"]}
        panels["timeseries"]["options"]["legend"]["plase"] = "bottom"
        panels["stat"]["type"] = "statt"
        (tmp_path / "wrong.json").write_text(json.dumps(wrong))
        said = " ".join(complaints(tmp_path / "wrong.json"))
        assert all(f"{what} is not known" in said for what in (".refresch", ".options.legend.plase"))
        assert "panels of the type statt are not known" in said

    def test_runbooks_that_are_named_exist(self, board: Any) -> None:
        for panel in board["panels"]:
            for named in re.findall(r"deploy/runbooks/[a-z-]+\.md", panel.get("description", "")):
                assert (ROOT / named).is_file()

    def test_they_are_provisioned_where_compose_mounts_them(self) -> None:
        provider = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "mammostack.yml").read_text())
        (only,) = provider["providers"]
        service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]
        mounts = dict(volume.split(":")[:2] for volume in service["volumes"] if volume.startswith("./"))
        assert mounts["./deploy/grafana/dashboards"] == only["options"]["path"]
        assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"

    def test_kubernetes_gets_each(self, tmp_path: Path) -> None:
        generated = yaml.safe_load((GRAFANA / "kustomization.yaml").read_text())["configMapGenerator"]
        assert {file for one in generated for file in one["files"]} == {f"dashboards/{path.name}" for path in BOARDS}
