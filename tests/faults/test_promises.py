"""Every promise has a test that is there, and stands on the page for people."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from named_tests import check_named

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
PROMISES = yaml.safe_load((Path(__file__).parent / "promises.yaml").read_text("utf-8"))
ROWS = [(theme, row) for theme, rows in PROMISES.items() for row in rows]


@pytest.mark.parametrize("row", [row for _, row in ROWS], ids=[row["promise"][:50] for _, row in ROWS])
def test_a_promise_is_held_by_a_test(row: dict[str, object]) -> None:
    assert set(row) == {"promise", "tests"}
    check_named(row["tests"])


def test_no_promise_is_made_twice() -> None:
    said = [row["promise"] for _, row in ROWS]
    assert len(said) == len(set(said)) > 40


def test_the_page_makes_the_same_promises() -> None:
    page = " ".join(PAGE.read_text("utf-8").split())
    missing = [row["promise"] for _, row in ROWS if row["promise"] not in page]
    assert not missing, f"docs/reliability.md does not say: {missing}"
    names = {Path(str(test).partition("::")[0]).name for _, row in ROWS for test in row["tests"]}
    assert not [name for name in names if name not in page]
