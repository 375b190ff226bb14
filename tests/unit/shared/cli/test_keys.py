"""Commands about API keys."""

import pytest

from shared.errors import InputError
from shared.store.api_keys import read_keys
from shared.store.directory import DirectoryStore
from tests.support.commands import mammo


class TestKeys:
    def test_are_made_listed_followed_and_revoked(self, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "There are no API keys" in mammo("keys", "list")
        made = mammo("keys", "create", "pacs", "--scope", "predict", "--a-minute", "60").split()
        key = next(word for word in made if word.startswith("mammo_"))
        listed = mammo("keys", "list")
        assert key.split("_")[1] in listed
        assert key not in listed
        rotated = " ".join(mammo("keys", "rotate", key.split("_")[1]).split())
        assert "replaces" in rotated
        assert "METRICS_KEY or MAMMO_API_KEY in .env" in rotated
        assert "the Secret api-keys" in rotated
        assert "is revoked" in mammo("keys", "revoke", key.split("_")[1])
        monkeypatch.setenv("METRICS_KEY", key)
        brought = mammo("keys", "create", "prometheus", "--scope", "metrics", "--from-env", "METRICS_KEY")
        assert key not in brought
        assert [each.name for each in read_keys(store).keys] == ["pacs", "prometheus"]

    def test_a_scope_that_is_none_is_told(self, store: DirectoryStore) -> None:
        with pytest.raises(InputError, match="choose one of predict, metrics, admin"):
            mammo("keys", "create", "pacs", "--scope", "all")
