"""The command `mammo ingest` with a mapping: the dry run, and what reaches the store."""

import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shared.cli.main import app
from shared.domain.records import Label
from shared.errors import InputError
from shared.settings import SettingsError
from shared.store.directory import DirectoryStore
from shared.store.ingest import stored_manifest
from tests.support.public_sets import own_exams, rsna


def mammo(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


SECRET = "MUSTERMANN"
KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DirectoryStore:
    """The store that the commands of a test are set to, and a key for pseudonyms."""
    monkeypatch.setenv("MAMMO_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("MAMMO_PSEUDONYM_KEY", KEY)
    return DirectoryStore(tmp_path / "store")


def clinic(folder: Path) -> Path:
    """Own exams with a name in their headers and in the table."""
    named = {"PatientName": SECRET, "PatientID": SECRET, "StudyDescription": SECRET, "PatientBirthDate": "19610203"}
    own_exams(folder, **named, InstitutionName=SECRET)
    table = folder / "results.csv"
    table.write_text(table.read_text().replace("4711", f"4711-{SECRET}"))
    return folder


class TestIngesting:
    def test_a_dry_run_prints_counts_and_what_is_wrong_and_needs_neither_store_nor_key(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("MAMMO_STORE", "MAMMO_PSEUDONYM_KEY"):
            monkeypatch.delenv(name, raising=False)
        output = mammo("ingest", rsna(tmp_path), "--mapping", "rsna-2023", "--dry-run")
        assert "6 films of 2 exams of 2 patients; 1 rows are left out by the mapping" in output
        assert "unknown value: 1; their films are left out\n  column 'laterality' is 'X', no known side: 1" in output
        assert "view repeated: 1\n  train.csv:5: right CC of the same exam as train.csv:4" in output
        assert "malignant" in output

    def test_a_dry_run_of_sound_exams_says_so(self, tmp_path: Path) -> None:
        folder = own_exams(tmp_path)
        table, mapping = folder / "results.csv", folder / "clinic.toml"
        output = mammo("ingest", folder, "--table", table, "--mapping", mapping, "--dry-run")
        assert "8 films of 2 exams of 2 patients" in output
        assert "nothing is wrong" in output

    def test_nothing_of_a_patient_is_in_the_store_in_logs_or_in_messages(
        self, tmp_path: Path, store: DirectoryStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        folder = clinic(tmp_path / "exams")
        output = mammo("ingest", folder, "--mapping", folder / "clinic.toml")
        assert "data set clinic: 8 films" in output
        held = {key: store.get(key) for key in store.list("")}
        assert sum(b"DICM" in data for data in held.values()) == 8
        for text in (SECRET, "19610203", "4711", "A100", KEY, "1.2.3.4"):
            assert not [key for key, data in held.items() if text in key or text.encode() in data], text
            assert text not in output
            assert text not in caplog.text
        films = stored_manifest(store, "clinic").films
        assert (len({film.patient for film in films}), len({film.exam for film in films})) == (2, 2)
        assert {film.label for film in films} == set(Label)

    def test_own_exams_are_not_stored_without_a_key(
        self, tmp_path: Path, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = clinic(tmp_path / "exams")
        monkeypatch.delenv("MAMMO_PSEUDONYM_KEY")
        with pytest.raises(SettingsError, match="MAMMO_PSEUDONYM_KEY: needed to hide the ids"):
            mammo("ingest", folder, "--mapping", folder / "clinic.toml")
        monkeypatch.setenv("MAMMO_PSEUDONYM_KEY", "short")
        with pytest.raises(SettingsError, match="fewer than 32 characters"):
            mammo("ingest", folder, "--mapping", folder / "clinic.toml")
        assert list(store.list("")) == []

    def test_a_public_set_keeps_its_ids_and_is_written_anew_all_the_same(
        self, tmp_path: Path, store: DirectoryStore
    ) -> None:
        output = mammo("ingest", rsna(tmp_path / "rsna"), "--mapping", "rsna-2023", "--dataset", "rsna")
        assert "data set rsna: 6 films" in output
        manifest = stored_manifest(store, "rsna")
        assert {film.id for film in manifest.films} == {"101", "102", "103", "104", "201", "205"}
        assert manifest.known_terms.text.startswith("RSNA")
        assert b"SECRETNAME" not in b"".join(store.get(key) for key in store.list(""))

    def test_a_table_needs_a_mapping(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="--table needs --mapping"):
            mammo("ingest", tmp_path, "--table", tmp_path / "results.csv")
