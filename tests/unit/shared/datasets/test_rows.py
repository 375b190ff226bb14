"""Tables of a data set: which of its files are meant."""

from pathlib import Path

from shared.datasets.files import FolderFiles
from shared.datasets.rows import find_tables


class TestFindTables:
    def test_a_name_that_ends_another_one_is_not_taken_for_it(self, tmp_path: Path) -> None:
        (tmp_path / "set").mkdir()
        for name in ("train.csv", "old_train.csv", "set/train.csv", "set/old_train.csv"):
            (tmp_path / name).write_text("film\n")
        found = find_tables(FolderFiles(tmp_path), ("train.csv",))
        assert [file.name for file in found] == ["set/train.csv", "train.csv"]
