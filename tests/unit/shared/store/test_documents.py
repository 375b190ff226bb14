"""Stored records of neighbouring releases, and those that can't be read."""

import json
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from shared import __version__
from shared.domain.records import Record
from shared.errors import ObjectNotFound, ObjectOfLaterRelease, ObjectUnreadable
from shared.store.directory import DirectoryStore
from shared.store.documents import document, parse_document, read_document
from shared.store.ingest import ingest, read_dataset
from tests.support.builders import small_plan


class Inner(Record):
    """A part of a record."""

    count: int


class Outer(Record):
    """A record."""

    name: str
    inner: Inner


class OfSecondLayout(Record):
    """A record whose layout has changed once."""

    schema_number = 2

    name: str


WHOLE = {"name": "a", "inner": {"count": 1}}
KEY = "runs/r/plan.json"


def unread() -> float:
    return REGISTRY.get_sample_value("mammo_objects_unreadable_total", {"prefix": "runs"}) or 0.0


class TestDocument:
    def test_the_first_layout_is_written_without_a_number_as_0_1_0_reads_it(self) -> None:
        assert json.loads(document(Outer(name="a", inner=Inner(count=1)))) == WHOLE

    def test_later_layouts_name_their_number_and_the_release_and_are_read_again(self) -> None:
        written = document(OfSecondLayout(name="ä"))
        assert json.loads(written) == {"schema_number": 2, "code_version": __version__, "name": "ä"}
        assert parse_document(KEY, written, OfSecondLayout) == OfSecondLayout(name="ä")

    def test_a_record_with_a_release_of_its_own_keeps_it(self) -> None:
        plan = small_plan().model_copy(update={"code_version": "0.0.9"})
        assert json.loads(document(plan, indent=1))["code_version"] == "0.0.9"


class TestReadDocument:
    def test_a_missing_record_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ObjectNotFound):
            read_document(DirectoryStore(tmp_path), KEY, Outer)


class TestParseDocument:
    def test_fields_of_the_next_release_are_ignored_at_any_depth(self) -> None:
        newer = {**WHOLE, "schema_number": Outer.schema_number + 1, "new": [1], "inner": {"count": 1, "also": "new"}}
        assert parse_document(KEY, json.dumps(newer).encode(), Outer) == Outer(name="a", inner=Inner(count=1))

    @pytest.mark.parametrize(
        "newer",
        [
            {**WHOLE, "schema_number": Outer.schema_number + 2, "code_version": "0.9.0"},
            {"title": "a", "schema_number": Outer.schema_number + 1, "code_version": "0.9.0"},
        ],
    )
    def test_a_record_that_only_a_later_release_reads_names_that_release(self, newer: dict[str, object]) -> None:
        with pytest.raises(ObjectOfLaterRelease, match=r"release 0\.9\.0; deploy it or later"):
            parse_document(KEY, json.dumps(newer).encode(), Outer)

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "it is empty"),
            (b" \n", "it is empty"),
            (b'{"name": "a", "inn', "truncated"),
            (b"[]", "not a JSON object"),
            (b"\xff\x00", "damaged"),
            (b'{"name": "secret", "inner": {"count": "secret"}}', "field 'inner.count'"),
            (b'{"inner": {"count": 1}}', "field 'name'"),
        ],
    )
    def test_an_unreadable_record_says_why_and_nothing_of_its_content_and_is_counted(
        self, data: bytes, reason: str
    ) -> None:
        before = unread()
        with pytest.raises(ObjectUnreadable, match=reason) as refused:
            parse_document(KEY, data, Outer)
        assert "mammo doctor" in str(refused.value)
        assert "secret" not in str(refused.value)
        assert unread() == before + 1

    def test_a_record_of_the_release_before_is_read(self) -> None:
        before = b'{"name": "a"}'
        assert parse_document(KEY, before, OfSecondLayout) == OfSecondLayout(name="a")

    def test_what_this_release_writes_is_read_again(self) -> None:
        plan = small_plan()
        assert parse_document(KEY, document(plan), type(plan)) == plan


class TestDocuments:
    def test_ingesting_again_replaces_an_unreadable_manifest(self, tmp_path: Path, synthetic_films: Path) -> None:
        from shared.datasets.sources import open_source

        store = DirectoryStore(tmp_path)
        before = ingest(store, open_source(synthetic_films), "films").dataset
        store.put("raw/films/manifest.json", b"{")
        assert ingest(store, open_source(synthetic_films), "films").dataset == before
        assert read_dataset(store, "films") == before
