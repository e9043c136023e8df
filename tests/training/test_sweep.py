"""Sweeps: every variant trained and scored alike, finished ones taken from disk, an interrupted one resumed."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from samples import Outcome

from lanecli.data.synthesise import synthesise
from lanecli.training import sweep

Cli = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time a network five times, no longer."""
    monkeypatch.setattr(sweep, "_TIMED", 0.0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tiny scenes."""
    folder = tmp_path_factory.mktemp("sweep") / "scenes"
    synthesise(folder, count=6, size=(96, 64), seed=21, val=0.34, workers=1)
    return folder


def sweep_file(path: Path, **variants: list[str]) -> Path:
    """A sweep over tiny networks."""
    base = {
        "model": {"name": "unet", "encoder": "resnet18", "args": {"encoder_depth": 3, "decoder_channels": [8, 8, 8]}},
        "data": {"geometry": {"size": [64, 32]}, "workers": 0},
        "train": {"batch": 2, "epochs": 2, "precision": "fp32"},
    }
    path.write_text(yaml.safe_dump({"base": base, "variants": variants}))
    return path


def test_variants_are_compared_and_not_trained_twice(cli: Cli, dataset: Path, tmp_path: Path) -> None:
    file = sweep_file(tmp_path / "s.yaml", ce=["loss=ce"], dice=["loss=dice"])
    done = cli("sweep", file, "--data", dataset, "--out", tmp_path / "o", "--json")
    assert done.code == 0, done.err
    first = done.json()
    assert [row["variant"] for row in first] == ["ce", "dice"]
    for row in first:
        rows = list(csv.DictReader((tmp_path / "o" / row["variant"] / "metrics.csv").open()))
        assert float(rows[-1]["val/miou_foreground"]) == row["lane_iou"]
    assert {row["variant"] for row in csv.DictReader((tmp_path / "o" / "table.csv").open())} == {"ce", "dice"}
    before = (tmp_path / "o" / "ce" / "model.safetensors").stat().st_mtime_ns
    again = cli("sweep", file, "--data", dataset, "--out", tmp_path / "o", "--json")
    assert again.json() == first
    assert (tmp_path / "o" / "ce" / "model.safetensors").stat().st_mtime_ns == before


def test_a_sweep_of_an_earlier_version_is_timed(cli: Cli, dataset: Path, tmp_path: Path) -> None:
    file, out = sweep_file(tmp_path / "s.yaml", ce=["train.epochs=1"]), tmp_path / "o"
    (row,) = cli("sweep", file, "--data", dataset, "--out", out, "--json").json()
    assert row.pop("milliseconds") > 0
    (out / "ce" / "result.json").write_text(json.dumps(row))
    (again,) = cli("sweep", file, "--data", dataset, "--out", out, "--json").json()
    assert again.pop("milliseconds") > 0
    assert again == row


def test_an_interrupted_sweep_goes_on(cli: Cli, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lanecli.training import loop

    file = sweep_file(tmp_path / "s.yaml", one=["train.seed=1"], two=["train.seed=2"])
    whole = cli("sweep", file, "--data", dataset, "--out", tmp_path / "whole", "--json").json()
    original, calls = loop.Run._after_step, 0

    def interrupt(self: loop.Run, *arguments: float) -> None:
        nonlocal calls
        calls += 1
        original(self, *arguments)
        if calls == 6:  # in the second variant
            raise KeyboardInterrupt

    monkeypatch.setattr(loop.Run, "_after_step", interrupt)
    assert cli("sweep", file, "--data", dataset, "--out", tmp_path / "parts").code == 130
    monkeypatch.setattr(loop.Run, "_after_step", original)
    parts = cli("sweep", file, "--data", dataset, "--out", tmp_path / "parts", "--json").json()
    assert [row["lane_iou"] for row in parts] == [row["lane_iou"] for row in whole]


def test_bad_sweep_files_are_named(cli: Cli, dataset: Path, tmp_path: Path) -> None:
    file = sweep_file(tmp_path / "s.yaml", odd=["loss=cee"], worse=["train.epoch=1"])
    done = cli("sweep", file, "--data", dataset, "--out", tmp_path / "o")
    assert done.code == 2
    assert "variant 'worse'" in done.err
    assert "train.epochs" in done.err
    (tmp_path / "t.yaml").write_text("variants: 3\n")
    assert cli("sweep", tmp_path / "t.yaml", "--out", tmp_path / "o").code == 2
    assert cli("sweep", tmp_path / "nowhere.yaml", "--out", tmp_path / "o").code == 2
    (tmp_path / "u.yaml").write_text("variants: {../up: []}\n")
    assert "../up" in cli("sweep", tmp_path / "u.yaml", "--out", tmp_path / "o").err


def test_another_configuration_in_the_folder_is_refused(cli: Cli, dataset: Path, tmp_path: Path) -> None:
    file = sweep_file(tmp_path / "s.yaml", one=[])
    assert cli("sweep", file, "train.epochs=1", "--data", dataset, "--out", tmp_path / "o").code == 0
    done = cli("sweep", file, "--data", dataset, "--out", tmp_path / "o")
    assert done.code == 2
    assert "another configuration" in done.err
