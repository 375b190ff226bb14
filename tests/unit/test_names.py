"""One word for one thing: no class or type has the name of another one, in services and shared code."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def names_of(module: Path) -> Iterator[str]:
    """Yield the classes and type aliases that a module defines, not its constants."""
    for node in ast.parse(module.read_text()).body:
        match node:
            case ast.ClassDef(name=name):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                if name[0].isupper() and not name.isupper():
                    yield name


class TestNames:
    def test_no_class_or_type_is_defined_twice(self) -> None:
        modules_of: dict[str, list[str]] = defaultdict(list)
        for folder in ("services", "shared"):
            for module in sorted((ROOT / folder).rglob("*.py")):
                for name in names_of(module):
                    modules_of[name].append(str(module.relative_to(ROOT)))
        assert len(modules_of) > 300
        assert {name: modules for name, modules in modules_of.items() if len(modules) > 1} == {}
