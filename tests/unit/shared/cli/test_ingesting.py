"""The command `mammo ingest` with a mapping: the dry run."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from shared.cli.main import app
from shared.errors import InputError
from tests.support.public_sets import own_exams, rsna


def mammo(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_dry_run_prints_counts_and_what_is_wrong_and_needs_neither_store_nor_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MAMMO_STORE", "MAMMO_PSEUDONYM_KEY"):
        monkeypatch.delenv(name, raising=False)
    output = mammo("ingest", rsna(tmp_path), "--mapping", "rsna-2023", "--dry-run")
    assert "6 films of 2 exams of 2 patients; 1 rows are left out by the mapping" in output
    assert "unknown value: 1; their films are left out\n  column 'laterality' is 'X', no known side: 1" in output
    assert "view repeated: 1\n  train.csv:5: right CC of the same exam as train.csv:4" in output
    assert "malignant" in output


def test_a_dry_run_of_sound_exams_says_so(tmp_path: Path) -> None:
    folder = own_exams(tmp_path)
    table, mapping = folder / "results.csv", folder / "clinic.toml"
    output = mammo("ingest", folder, "--table", table, "--mapping", mapping, "--dry-run")
    assert "8 films of 2 exams of 2 patients" in output
    assert "nothing is wrong" in output


def test_a_table_needs_a_mapping(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--table needs --mapping"):
        mammo("ingest", tmp_path, "--table", tmp_path / "results.csv")
