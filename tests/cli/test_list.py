"""``lanecli list``: every kind readable in a pipe and in a narrow terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from samples import Outcome

from lanecli.cli.list_models import model_lines, model_rows
from lanecli.cli.table import Column, table
from lanecli.models.registry import MODELS

Cli = Callable[..., Outcome]

QUICK = ("models", "losses", "formats", "backends", "optimisers", "schedules", "metrics", "labelmaps")


@pytest.mark.parametrize("kind", QUICK)
def test_a_line_for_each_and_nothing_cut_in_a_pipe(cli: Cli, kind: str) -> None:
    done, rows = cli("list", kind), cli("list", kind, "--json").json()
    assert done.code == 0, done.err
    lines = {line.split()[0]: line for line in done.out.splitlines() if line}
    assert rows
    for row in rows:
        assert row["summary"] in lines[row["name"]]
        assert {"name", "aliases", "summary"} <= set(row)


def test_encoders_name_their_weights(cli: Cli) -> None:
    rows = {row["name"]: row for row in cli("list", "encoders", "--json").json()}
    assert "imagenet" in rows["resnet18"]["weights"]
    assert "tu-NAME" in cli("list", "encoders").out


def test_backends_say_whether_they_are_installed(cli: Cli) -> None:
    rows = {row["name"]: row for row in cli("list", "backends", "--json").json()}
    assert rows["torch"]["installed"] is True


def test_schedules_name_their_arguments(cli: Cli) -> None:
    rows = {row["name"]: row for row in cli("list", "schedules", "--json").json()}
    assert rows["poly"]["arguments"] == {"power": 0.9}
    assert "power=0.9" in cli("list", "schedules").out


def test_models_come_with_what_they_cost(cli: Cli) -> None:
    rows = {row["name"]: row for row in cli("list", "models", "--json").json()}
    assert set(rows) == set(MODELS)
    assert rows["erfnet"]["parameters"] == pytest.approx(2.06e6, rel=0.01)
    assert rows["erfnet"]["stride"] == 8
    assert [row["year"] for row in rows.values()] == sorted(row["year"] for row in rows.values())
    out = cli("list", "models").out
    line = next(line for line in out.splitlines() if line.startswith("fcn8s "))
    for part in ("Long, Shelhamer & Darrell", "2015", "134.3", "55.4", "arXiv 1411.4038", "VGG16, two skips summed"):
        assert part in line
    assert "512x256" in out


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("width", [80, 100, 160, 240])
def test_the_table_of_models_fits(width: int, timed: bool) -> None:
    rows = model_rows()
    if timed:
        machine = {
            "processor": "A Processor of Some Length",
            "cores": 2,
            "versions": {"torch": "2.11", "openvino": "1"},
        }
        rows = [{**r, "onnx": True, "ms": {"openvino": {"fp32": 1234.5}}, "machine": machine} for r in rows]
    lines = model_lines(rows, width)
    assert max(map(len, lines)) <= width
    for row in rows:
        line = next(line for line in lines if line.split()[:1] == [row["name"]])
        assert str(row["year"]) in line
        assert f"{row['parameters'] / 1e6:.1f}" in line
        assert f"{row['macs'] / 1e9:.1f}" in line
        assert ("1234.5" in line) == timed


def test_a_figure_that_is_not_there_is_a_dash() -> None:
    first, second = model_rows()[:2]
    unknown = dict.fromkeys(("parameters", "macs", "stride", "onnx", "ms", "machine"))
    assert model_lines([first | unknown], 80)[1].split().count("-") == 4  # and ms, which no row has, is no column
    assert model_lines([first | unknown, second], 200)[1].split().count("-") == 6


def test_the_last_column_wraps_under_itself() -> None:
    columns = [Column("", ["a", "bcd"]), Column("", ["one two three four five", "six"])]
    assert table(columns, 25) == ["a    one two three four", "     five", "bcd  six"]
    assert table(columns) == ["a    one two three four five", "bcd  six"]


def test_an_unknown_kind_names_the_nearest(cli: Cli) -> None:
    done = cli("list", "loses")
    assert done.code == 2
    assert "did you mean 'losses'" in done.err
