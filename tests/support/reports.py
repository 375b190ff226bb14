"""Reports of tests that pytest-xdist can send from process to process."""

from typing import Any


def without_surrogates(value: Any) -> Any:
    """Escape lone surrogates in all texts of a report, which UTF-8 can't hold.

    A test of file names that are no UTF-8 has them in what it logs, and in what its failure shows; pytest-xdist would
    end with an internal error in place of the report.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {without_surrogates(key): without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(without_surrogates(item) for item in value)
    return value
