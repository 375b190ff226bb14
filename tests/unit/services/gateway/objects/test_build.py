"""All objects of a report, which threads build: their order, their bytes, and what a builder's error leads to."""

import pytest

from services.gateway.films import read_header
from services.gateway.objects.build import build_objects
from services.gateway.report import KINDS
from tests.support.gateway import MADE, four_films, problem, report

FILMS = four_films()
DATA = {read_header(film).sop_uid: film for film in FILMS}


class TestBuildObjects:
    def test_same_report_gives_the_same_bytes(self) -> None:
        first, second = (build_objects(report(), KINDS, DATA.__getitem__) for _ in range(2))
        assert first == second
        assert {each.kind for each in first} == set(KINDS)
        assert MADE.strftime("%Y%m%d").encode() in first[0].data

    def test_objects_come_in_the_order_of_kinds_and_films(self) -> None:
        found = build_objects(report(), ("sc", "tid1500", "cad-sr"), DATA.__getitem__)
        assert [each.kind for each in found] == ["cad-sr", "tid1500", "sc", "sc", "sc", "sc"]
        sources = [next(number for number, uid in enumerate(DATA) if uid.encode() in each.data) for each in found[2:]]
        assert sources == [0, 1, 2, 3]

    def test_kind_that_has_nothing_to_show_is_left_out(self) -> None:
        refused = report(FILMS, (problem(),) * 4)
        assert [each.kind for each in build_objects(refused, ("gsps", "tid1500"), DATA.__getitem__)] == ["tid1500"]

    def test_error_of_a_builder_reaches_the_caller(self) -> None:
        def gone(_uid: str) -> bytes:
            raise OSError("gone")

        with pytest.raises(OSError, match="gone"):
            build_objects(report(), ("cad-sr", "sc"), gone)
