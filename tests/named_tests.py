"""Whether a test that a table names is there."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@cache
def _functions(path: str) -> frozenset[str] | None:
    """Functions at the top of a file; None where there is no such file."""
    if not (ROOT / path).is_file():
        return None
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def check_named(tests: object) -> None:
    """Fail unless `tests` is a list of one ``PATH::FUNCTION`` or more, each of which is a test that is there."""
    assert isinstance(tests, list)
    assert tests, "names no test"
    for test in tests:
        path, _, function = str(test).partition("::")
        functions = _functions(path)
        assert functions is not None, f"names {path}, which is not there"
        assert function.startswith("test_"), f"names {function}, which is no test"
        assert function in functions, f"names {function}, which is not in {path}"
