"""``lanecli train --dry-run``: everything is looked at, nothing is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from samples import SMALL_RUN, Outcome

Cli = Callable[..., Outcome]
STAGES = "stages=[{train: {epochs: 1}}, {loss: jaccard, train: {batch: 3}, data: {geometry: {size: [96, 64]}}}]"


def test_says_what_would_happen_and_writes_nothing(
    cli: Cli, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in scenes.rglob("*")}
    done = cli("train", *SMALL_RUN, STAGES, "--data", scenes, "--dry-run", "--json")
    assert done.code == 0, done.err
    document = done.json()
    first, second = document["stages"]
    # 12 training pictures: six steps of two; four steps of three, for two epochs
    assert (first["steps"], first["epochs"], first["samples"], first["size"]) == (6, 1, 12, [64, 32])
    assert (second["steps"], second["epochs"], second["samples"], second["size"]) == (8, 2, 12, [96, 64])
    assert (first["loss"], second["loss"]) == ("ce+dice", "jaccard")
    assert first["validation"] == second["validation"] == 2
    assert document["steps"] == 14
    assert document["files"] == document["read"] == 14  # both stages read the same
    assert document["memory_bytes"] > 50_000_000
    assert document["seconds"] == pytest.approx(6 * first["seconds_a_step"] + 8 * second["seconds_a_step"], abs=0.1)
    assert 0 < second["first_loss"] < 1.01
    assert os.listdir(tmp_path) == []
    assert {path: path.stat().st_mtime_ns for path in scenes.rglob("*")} == before


def test_as_text(cli: Cli, scenes: Path) -> None:
    done = cli("train", *SMALL_RUN, "--data", scenes, "--dry-run")
    assert done.code == 0, done.err
    assert "14 pairs are there, 14 of them read in full" in done.out
    assert "2 epochs of 12 pictures at 64x32, loss ce+dice" in done.out
    assert "nothing was written" in done.out


def test_a_missing_file_is_named(cli: Cli, scenes: Path, tmp_path: Path) -> None:
    mask = sorted((scenes / "masks").rglob("*.png"))[-1]
    aside = mask.rename(tmp_path / "aside.png")
    try:
        done = cli("train", *SMALL_RUN, "--data", scenes, "--dry-run")
    finally:
        aside.rename(mask)
    assert done.code == 2
    assert f"{mask} does not exist" in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_a_broken_picture_is_named(cli: Cli, scenes: Path) -> None:
    picture = sorted((scenes / "images").rglob("*.*"))[-1]
    content = picture.read_bytes()
    picture.write_bytes(content[:100])
    try:
        done = cli("train", *SMALL_RUN, "--data", scenes, "--dry-run")
    finally:
        picture.write_bytes(content)
    assert done.code == 2
    assert picture.name in done.err


def test_goes_with_a_new_run_only(cli: Cli, tmp_path: Path) -> None:
    done = cli("train", "--resume", tmp_path, "--dry-run")
    assert done.code == 2
    assert "--dry-run" in done.err
