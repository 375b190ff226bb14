"""Open a data set on disk: one class per layout, all with the same interface."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from shared.datasets import mias, table
from shared.datasets.mias import ImageFile
from shared.domain.films import Manifest


class FilmSource(Protocol):
    """A data set on disk. `images` may be gone through more than once."""

    synthetic: bool

    def manifest(self, dataset: str, progress: Callable[[int], None] | None = None) -> Manifest:
        """Check the whole data set, every image included, and say what it holds.

        Args:
            progress: called with the number of images checked so far.

        Raises:
            DatasetError: naming the file, and the line where there is one, of the first thing that is wrong.
        """

    def images(self) -> Iterator[ImageFile]: ...


def open_source(path: Path) -> FilmSource:
    """Open a folder with films.csv, or mini-MIAS as a folder or an archive.

    Raises:
        DatasetError: `path` is none of these.
    """
    return table.TableSource(path) if (path / table.FILMS).is_file() else mias.Source(path)
