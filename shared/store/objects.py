"""The store that the settings name."""

from pathlib import Path

from shared.settings import StoreSettings
from shared.store.directory import DirectoryStore
from shared.store.interface import ObjectStore


def open_store(settings: StoreSettings) -> ObjectStore:
    """Open the store named by `MAMMO_STORE`."""
    if settings.url.startswith("s3://"):
        from shared.store.s3 import S3Store  # noqa: PLC0415  boto3 takes 0.3 s to import and a directory needs none

        return S3Store.from_settings(settings)
    directory = DirectoryStore(Path(settings.url))
    directory.discard_partial("")
    return directory
