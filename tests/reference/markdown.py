"""Pieces of Markdown that the reference pages share."""

from collections.abc import Iterable, Sequence

MADE = "<!-- Written by `make reference`; change the code that it is read from. -->"


def page(title: str, *parts: str) -> str:
    """Join the parts of a generated page under its title."""
    return "\n\n".join([f"# {title}", MADE, *(part.strip("\n") for part in parts if part)]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out rows as a Markdown table; bars and line breaks in a cell are escaped."""
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def sentence(text: str) -> str:
    """Return the text with a capital at its beginning."""
    text = " ".join(text.split())
    return text[:1].upper() + text[1:]
