"""Open a data set on disk: one class per layout, all with the same interface."""

from pathlib import Path

from shared.datasets import mias, table
from shared.datasets.entries import FilmSource
from shared.datasets.mapped import MappedSource
from shared.datasets.mapping import Mapping
from shared.datasets.pseudonyms import Pseudonyms


def open_source(
    path: Path,
    mapping: Mapping | None = None,
    tables: tuple[Path, ...] = (),
    pseudonyms: Pseudonyms | None = None,
) -> FilmSource:
    """Open a data set: by a mapping, or a folder with films.csv, or mini-MIAS as a folder or an archive.

    Args:
        tables: of a mapped data set, in place of those that the mapping names.
        pseudonyms: of a mapped data set; None leaves ids as they are.

    Raises:
        DatasetError: `path` is none of these.
    """
    if mapping is not None:
        return MappedSource(path, mapping, tables, pseudonyms)
    return table.TableSource(path) if (path / table.FILMS).is_file() else mias.Source(path)
