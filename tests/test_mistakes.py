"""Every mistake that was written down has a test that is there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from named_tests import check_named

MISTAKES = yaml.safe_load((Path(__file__).parent / "mistakes.yaml").read_text("utf-8"))
ROWS = [row for rows in MISTAKES.values() for row in rows]


@pytest.mark.parametrize("row", ROWS, ids=[row["mistake"][:50] for row in ROWS])
def test_a_mistake_is_answered_by_a_test(row: dict[str, object]) -> None:
    assert set(row) == {"mistake", "tests"}
    check_named(row["tests"])


def test_none_is_named_twice() -> None:
    named = [row["mistake"] for row in ROWS]
    assert len(named) == len(set(named)) > 45


@pytest.mark.parametrize(
    ("tests", "says"),
    [
        ([], "names no test"),
        (["tests/test_gone.py::test_a"], "test_gone.py, which is not there"),
        (["tests/test_mistakes.py::test_gone"], "test_gone, which is not in"),
        (["tests/test_mistakes.py"], "is no test"),
    ],
)
def test_a_row_without_a_test_fails(tests: list[str], says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        check_named(tests)
