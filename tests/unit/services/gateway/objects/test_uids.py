"""UIDs of results: equal for equal content, never equal for other content, and readable from a listing."""

import re

from services.gateway.eligibility import Refusal
from services.gateway.films import read_header
from services.gateway.objects.build import build_objects
from services.gateway.objects.uids import instance_uid, kind_of, result_prefix, series_uid
from services.gateway.report import KINDS
from shared.api.predictions import PointInUse
from shared.modelling.bootstrap import Interval
from tests.support.gateway import finding, four_films, report

FILMS = four_films()
ONE = Interval(value=1.0, low=1.0, high=1.0)
SOPS = [read_header(film).sop_uid for film in FILMS]


class TestInstanceUid:
    def test_uids_are_valid_and_the_same_again(self) -> None:
        found = instance_uid(report(), "cad-sr", SOPS)
        assert re.fullmatch(r"[0-9.]{1,64}", found)
        assert not re.search(r"\.0[0-9]", found)
        assert found == instance_uid(report(), "cad-sr", reversed(SOPS))

    def test_instance_changes_with_films_model_threshold_and_refusals(self) -> None:
        refused = report(FILMS, ("abnormal", Refusal("implant", "x"), "normal", "normal"))
        three = report(FILMS[:3], ("abnormal", "normal", "normal"))
        point = PointInUse(name="screening", threshold=0.3, sensitivity=ONE, specificity=ONE)
        judged = finding(read_header(FILMS[0]))
        decision = judged.decision.model_copy(update={"operating_point": point})
        moved = report(FILMS, (judged.model_copy(update={"decision": decision}), "normal", "abnormal", "normal"))
        found = [
            instance_uid(moved, "cad-sr", SOPS),
            instance_uid(report(), "cad-sr", SOPS),
            instance_uid(report(), "tid1500", SOPS),
            instance_uid(three, "cad-sr", SOPS[:3]),
            instance_uid(report(version="v2"), "cad-sr", SOPS),
            instance_uid(refused, "cad-sr", SOPS),
        ]
        assert len(set(found)) == len(found)


class TestSeriesUid:
    def test_series_stays_with_study_network_and_kind(self) -> None:
        found = {kind: series_uid("1.2.3", "resnet50", kind) for kind in KINDS}
        assert len({*found.values(), series_uid("1.2.3", "alexnet", "sc"), series_uid("1.2.4", "resnet50", "sc")}) == 7
        assert found["sc"] == series_uid("1.2.3", "resnet50", "sc")


class TestResultPrefix:
    def test_prefix_tells_which_films_have_a_result_of_whatever_model(self) -> None:
        prefix = result_prefix("cad-sr", SOPS)
        assert instance_uid(report(), "cad-sr", SOPS).startswith(prefix)
        assert instance_uid(report(version="v2"), "cad-sr", SOPS).startswith(prefix)
        assert not instance_uid(report(), "cad-sr", SOPS[:3]).startswith(prefix)


class TestKindOf:
    def test_kind_is_read_from_own_uids_alone(self) -> None:
        assert [kind_of(instance_uid(report(), kind, SOPS)) for kind in KINDS] == list(KINDS)
        others = ("1.2.840.10008.5.1.4", "1.2.826.0.1.3680043.8.498.123.1.5", SOPS[0], f"{result_prefix('sc', SOPS)}x")
        assert [kind_of(uid) for uid in others] == [None] * 4


class TestUids:
    def test_picture_of_a_film_is_the_same_object_when_another_film_comes_or_is_refused(self) -> None:
        data = dict(zip(SOPS, FILMS, strict=True))
        three = report(FILMS[:3], ("abnormal", "normal", "abnormal"))
        refused = report(FILMS, ("abnormal", "normal", "abnormal", Refusal("implant", "x")))
        early, late, other = ([*build_objects(each, ["sc"], data.__getitem__)] for each in (three, report(), refused))
        assert [each.data for each in early] == [each.data for each in late[:3]] == [each.data for each in other[:3]]
