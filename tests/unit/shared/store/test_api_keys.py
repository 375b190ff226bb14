"""API keys: made, found by nothing but themselves, followed by others, revoked; over both stores where they race."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.errors import InputError, KeyUnknown
from shared.store import layout
from shared.store.api_keys import add_key, describe_key, new_key, read_keys, revoke_key, rotate_key
from shared.store.directory import DirectoryStore


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


def in_days(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


class TestAddKey:
    def test_the_store_holds_no_key(self, store: DirectoryStore) -> None:
        key = new_key()
        add_key(store, describe_key(key, "pacs", ["predict"]))
        assert key.rpartition("_")[2].encode() not in store.get(layout.api_keys())


class TestFieldsOfALaterRelease:
    def test_they_stay_when_this_release_changes_other_keys(self, store: DirectoryStore) -> None:
        bounded, other = new_key(), new_key()
        add_key(store, describe_key(bounded, "bounded", ["predict"]))
        later = json.loads(store.get(layout.api_keys()))
        later["schema_number"], later["keys"][0]["only_from"] = 2, "10.0.0.0/8"
        store.put(layout.api_keys(), json.dumps(later).encode())
        add_key(store, describe_key(other, "other", ["predict"]))
        revoke_key(store, other.split("_")[1])
        written = json.loads(store.get(layout.api_keys()))
        assert written["schema_number"] == 2
        assert [key.get("only_from") for key in written["keys"]] == ["10.0.0.0/8", None]
        assert [key.name for key in read_keys(store).unrevoked] == ["bounded"]


class TestRevokeKey:
    def test_a_revoked_key_is_gone(self, store: DirectoryStore) -> None:
        key, other = new_key(), new_key()
        for each in (key, other):
            add_key(store, describe_key(each, "pacs", ["predict"]))
        revoke_key(store, key.split("_")[1])
        ring = read_keys(store)
        assert ring.find(key, in_days(0)) is None
        assert ring.find(other, in_days(0))
        with pytest.raises(KeyUnknown, match="mammo keys list"):
            revoke_key(store, key.split("_")[1])


class TestRotateKey:
    def test_a_key_that_follows_another_has_its_rights_and_both_work_for_a_while(self, store: DirectoryStore) -> None:
        old = new_key()
        add_key(store, describe_key(old, "pacs", ["predict", "metrics"], days=30, requests_a_minute=60))
        new, kept = rotate_key(store, old.split("_")[1], overlap_hours=24)
        assert (kept.name, kept.scopes, kept.requests_a_minute) == ("pacs", ("predict", "metrics"), 60)
        ring = read_keys(store)
        assert ring.find(old, in_days(0.9))
        assert ring.find(old, in_days(1.1)) is None
        assert ring.find(new, in_days(29.9))
        assert ring.find(new, in_days(30.1)) is None

    def test_the_overlap_does_not_prolong_a_key_that_ends_before(self, store: DirectoryStore) -> None:
        old = new_key()
        add_key(store, describe_key(old, "pacs", ["predict"], days=1))
        rotate_key(store, old.split("_")[1], overlap_hours=1000)
        assert read_keys(store).find(old, in_days(1.1)) is None


class TestReadKeys:
    def test_a_key_is_found_by_itself_and_by_nothing_like_it(self, store: DirectoryStore) -> None:
        key = new_key()
        add_key(store, describe_key(key, "pacs", ["predict"]))
        ring, now = read_keys(store), in_days(0)
        assert ring.find(key, now) == ring.keys[0]
        for other in (key[:-1], key + "A", key.upper(), new_key(), "", "mammo_", key[:15] + new_key()[15:]):
            assert ring.find(other, now) is None

    def test_a_key_ends_when_its_time_has_come(self, store: DirectoryStore) -> None:
        key = new_key()
        add_key(store, describe_key(key, "pacs", ["predict"], days=7))
        assert read_keys(store).find(key, in_days(6.9))
        assert read_keys(store).find(key, in_days(7.1)) is None

    def test_keys_that_are_made_at_the_same_time_are_all_kept(self, store: DirectoryStore) -> None:
        made = [new_key() for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda key: add_key(store, describe_key(key, "pacs", ["predict"])), made))
        assert {key.id for key in read_keys(store).keys} == {key.split("_")[1] for key in made}

    def test_a_key_that_is_added_twice_is_there_once(self, store: DirectoryStore) -> None:
        key = new_key()
        for _ in range(2):
            add_key(store, describe_key(key, "prometheus", ["metrics"]))
        assert len(read_keys(store).keys) == 1


class TestDescribeKey:
    @pytest.mark.parametrize("key", ["secret", "mammo_12345678_short", "mammo_1234567x_" + 43 * "a", ""])
    def test_a_key_of_another_form_is_refused(self, key: str) -> None:
        with pytest.raises(InputError, match="mammo keys create"):
            describe_key(key, "pacs", ["predict"])


class TestNewKey:
    def test_a_name_that_could_be_no_name_is_refused(self) -> None:
        with pytest.raises(InputError, match="not a name"):
            describe_key(new_key(), "a name/with more", ["predict"])
