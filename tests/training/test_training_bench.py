"""``lanecli bench --training``: every row is measured, and ratios are of the rows they name."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
from samples import Outcome

SMALL = ["--set", "data.geometry.size=[64, 32]", "--set", "train.batch=2", "--set", "data.workers=0"]


def test_rows_and_ratios(cli: Callable[..., Outcome], scenes: Path) -> None:
    done = cli("bench", "--training", *SMALL, "--data", scenes, "--json")
    assert done.code == 0, done.err
    document = done.json()
    assert set(document["rows"]) == {"plain", "fp32", "bare", "loop", "read plain", "read loop", "loader"}
    assert set(document["definitions"]) == set(document["rows"])
    for name, speed in document["rows"].items():
        rounds = document["rounds"][name]
        assert len(rounds) == 3
        assert speed == pytest.approx(statistics.median(rounds), rel=0.01)
        assert speed > 0
    rows = document["rows"]
    assert document["speed_up"] == pytest.approx(rows["read loop"] / rows["read plain"], rel=0.02)


def test_without_data_nothing_is_read(cli: Callable[..., Outcome]) -> None:
    done = cli("bench", "--training", *SMALL)
    assert done.code == 0, done.err
    assert "loader" not in done.out
    assert "times a plain loop" in done.out


@pytest.mark.parametrize(
    "arguments", [["--training", "lane"], ["--set", "train.batch=2"], ["--training", "--set", "x=1"]]
)
def test_what_does_not_go_together_is_one_line(cli: Callable[..., Outcome], arguments: list[str]) -> None:
    done = cli("bench", *arguments)
    assert done.code == 2
    assert len(done.err.strip().splitlines()) == 1
