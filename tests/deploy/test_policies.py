"""The IAM policies name prefixes of the layout alone, and no service may do what is another one's."""

import re

import pytest
import yaml

from shared.local.commands import ROOT
from shared.settings import ServingSettings
from shared.store import layout
from tests.support.policies import BUCKET, POLICIES, allows, statements

ROLES = ("augment", "segment", "train", "inference", "gateway", "operator")
LAYOUT = set(re.findall(r"^(\w+/)", layout.__doc__ or "", re.MULTILINE)) | {"self-test/"}
GATEWAY = {"failed/gateway/", "gateway/outbox/", "gateway/forgotten/"}
"""Parts of prefixes that a role has without the rest."""


class TestPolicies:
    def test_each_account_of_kubernetes_has_one(self) -> None:
        accounts = yaml.safe_load_all((ROOT / "deploy" / "k8s" / "base" / "accounts.yaml").read_text())
        assert (
            {account["metadata"]["name"] for account in accounts}
            == {path.stem for path in POLICIES.iterdir()}
            == set(ROLES)
        )

    @pytest.mark.parametrize("role", ROLES)
    def test_they_name_prefixes_of_the_layout_alone(self, role: str) -> None:
        inbox = ServingSettings().batch_prefix
        for statement in statements(role):
            for resource in statement["Resource"]:
                prefix = resource.removeprefix(f"{BUCKET}/").partition("*")[0]
                assert resource == BUCKET or prefix in LAYOUT | {inbox} | GATEWAY, resource
            assert not any("*" in action for action in statement["Action"])

    @pytest.mark.parametrize(
        ("role", "method", "key"),
        [
            ("augment", "PUT", "raw/mias/films/mdb001.pgm"),
            ("augment", "PUT", "models/resnet50/v1/model.onnx"),
            ("segment", "GET", "raw/mias/films/mdb001.pgm"),
            ("segment", "GET", "access/keys.json"),
            ("segment", "DELETE", "runs/r/plan.json"),
            ("train", "DELETE", "models/resnet50/v1/card.json"),
            ("train", "DELETE", "models/resnet50/aliases/production.json"),
            ("train", "DELETE", "models/resnet50/audit/line.json"),
            ("train", "PUT", "access/keys.json"),
            ("train", "PUT", "data_segmentation/x"),
            ("inference", "PUT", "models/resnet50/aliases/production.json"),
            ("inference", "GET", "raw/mias/films/mdb001.pgm"),
            ("inference", "DELETE", "batches/b/plan.json"),
            ("gateway", "GET", "models/resnet50/v1/model.onnx"),
            ("gateway", "GET", "access/keys.json"),
            ("gateway", "DELETE", "failed/run/train/unit.json"),
            ("inference", "GET", "gateway/inbox/study/film.dcm"),
            ("train", "GET", "gateway/inbox/study/film.dcm"),
            ("operator", "GET", "gateway/inbox/study/film.dcm"),
            ("operator", "DELETE", "models/resnet50/v1/model.onnx"),
            ("operator", "DELETE", "raw/mias/manifest.json"),
            ("operator", "DELETE", "raw/mias/films/mdb001.pgm"),
        ],
    )
    def test_nobody_may_do_what_is_not_theirs(self, role: str, method: str, key: str) -> None:
        assert not allows(role, method, key, "")

    @pytest.mark.parametrize("prefix", layout.TOP)
    def test_the_operator_may_list_what_commands_look_through_and_delete_what_may_go(self, prefix: str) -> None:
        assert allows("operator", "GET", "", f"list-type=2&prefix={prefix}")
        assert allows("operator", "DELETE", f"{prefix}a/b/films/c", "") is (prefix != "models/")
