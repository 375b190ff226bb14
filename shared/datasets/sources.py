"""Open a data set on disk: one class per layout, all with the same interface."""

from pathlib import Path

from shared.datasets import mias, table
from shared.datasets.entries import FilmSource


def open_source(path: Path) -> FilmSource:
    """Open a folder with films.csv, or mini-MIAS as a folder or an archive.

    Raises:
        DatasetError: `path` is none of these.
    """
    return table.TableSource(path) if (path / table.FILMS).is_file() else mias.Source(path)
