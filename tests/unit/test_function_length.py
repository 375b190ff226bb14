"""Functions stay short enough to be read on one screen."""

import ast
from pathlib import Path

MOST_LINES = 60
ROOT = Path(__file__).parents[2]


def too_long(source: str) -> list[str]:
    """The functions of a module that have more than MOST_LINES lines."""
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [each.name for each in functions if (each.end_lineno or 0) - each.lineno + 1 > MOST_LINES]


class TestFunctionLength:
    def test_no_function_is_longer_than_a_screen(self) -> None:
        modules = [path for folder in ("services", "shared") for path in (ROOT / folder).rglob("*.py")]
        assert len(modules) > 100
        found = {str(path.relative_to(ROOT)): too_long(path.read_text()) for path in modules}
        assert {path: names for path, names in found.items() if names} == {}

    def test_a_long_function_is_found(self) -> None:
        assert too_long("def short():\n    pass\n\ndef long():\n" + "    pass\n" * MOST_LINES) == ["long"]
