"""The pages: links that resolve, lengths that a reader can manage, and plain words."""

import re
from pathlib import Path

import pytest

from shared.local.commands import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *DOCS.rglob("*.md"),
        *(ROOT / "deploy" / "runbooks").glob("*.md"),
        *ROOT.glob("benchmarks/*.md"),
    ]
)
PLAIN = [
    page  # the words of the reference pages are those of the code, from which they are written
    for page in PAGES
    if page == ROOT / "README.md" or (DOCS in page.parents and DOCS / "reference" not in page.parents)
]
MOST_LINES = {
    "README.md": 120,
    "CONTRIBUTING.md": 150,
    "docs/limitations.md": 80,
    "docs/experiments.md": 80,
    "docs/tutorials": 150,
    "docs/how-to": 100,
    "docs/explanation": 200,
    "docs/decisions": 60,
}
README_WORDS = 700
MADE_BY_THE_READER = "deploy/k8s/overlays/mine"
AVOIDED = re.compile(
    r"\b(?:(?:is|are|was|were) (?:told|asked)|mend(?:s|ed|ing)?|beside|nobody|anybody)\b", re.IGNORECASE
)
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
class TestLinks:
    def test_relative_links_resolve(self, page: Path) -> None:
        for target in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", page.read_text())):
            if "://" in target:
                continue
            file, _, anchor = target.partition("#")
            place = page.parent / file if file else page
            assert place.exists(), target
            assert not anchor or anchor in anchors(place), target

    def test_paths_that_are_named_exist(self, page: Path) -> None:
        named = re.findall(r"`((?:services|shared|tests|deploy|docs|findings)/[\w./-]+)`", page.read_text())
        paths = {path for path in named if "." in path or path.count("/") > 1} - {MADE_BY_THE_READER}
        assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


class TestLengths:
    @pytest.mark.parametrize(("place", "most"), MOST_LINES.items())
    def test_no_page_is_longer_than_its_reader_reads(self, place: str, most: int) -> None:
        path = ROOT / place
        pages = sorted(path.glob("*.md")) if path.is_dir() else [path]
        assert pages
        for page in pages:
            assert len(page.read_text().splitlines()) <= most, name(page)

    def test_the_readme_is_short(self) -> None:
        assert len((ROOT / "README.md").read_text().split()) <= README_WORDS


class TestWords:
    @pytest.mark.parametrize("page", PLAIN, ids=name)
    def test_none_is_of_those_to_avoid(self, page: Path) -> None:
        assert AVOIDED.findall(CODE.sub("", page.read_text())) == []

    @pytest.mark.parametrize("sentence", ["The worker is told to stop.", "Bugs are mended.", "Nobody reads it."])
    def test_the_check_finds_them(self, sentence: str) -> None:
        assert AVOIDED.search(sentence)


class TestIndex:
    def test_every_page_is_reachable_from_it(self) -> None:
        index = (DOCS / "index.md").read_text()
        linked = {(DOCS / target.partition("#")[0]).resolve() for target in re.findall(r"\]\(([^)\s]+)\)", index)}
        assert [name(page) for page in DOCS.rglob("*.md") if page.name != "index.md" and page not in linked] == []
