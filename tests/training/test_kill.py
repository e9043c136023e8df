"""Killed at any moment and resumed, a run ends with the bits of one that was left alone."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from processes import start
from safetensors.numpy import load_file
from samples import SMALL_RUN

LONG = [
    *SMALL_RUN,
    "train.epochs=8",
    "train.ema=0.9",
    "train.save_steps=2",
    "model.dropout=0.3",
    "data.workers=1",
    "stages=[{train: {epochs: 5}}, {train: {epochs: 3}, loss: jaccard, data: {geometry: {size: [96, 64]}}}]",
]


def finish(arguments: list[object], output: Path) -> float:
    """Seconds a run took that was left alone."""
    since = time.perf_counter()
    process = start(arguments, output)
    process.join()
    assert process.exitcode == 0, output.read_text()
    return time.perf_counter() - since


def kill_and_resume(whole: Path, scenes: Path, killed: Path, seconds: float, kills: int, seed: int) -> int:
    """Train into `killed` under `kills` kills at random moments, most of them in training; how many there were."""
    draw, done = random.Random(seed), 0
    output = killed.with_name("output.txt")
    arguments: list[object] = ["train", *LONG, "--data", scenes, "--out", killed]
    while True:
        process = start(arguments, output)
        while not (killed / "config.yaml").is_file() and process.is_alive():  # before, there is nothing to resume
            process.join(timeout=0.01)
        process.join(timeout=draw.uniform(0, seconds / 6) if done < kills else None)
        if not process.is_alive():
            break
        process.kill()
        process.join()
        done += 1
        arguments = ["train", "--resume", killed]
    text = output.read_text()
    assert process.exitcode == 0 or "this run is finished" in text, text
    assert (killed / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    for name in ("model.safetensors", "stage-1.safetensors", "last/state.safetensors"):
        first, second = load_file(whole / name), load_file(killed / name)
        assert first.keys() == second.keys()
        for key, value in first.items():
            np.testing.assert_array_equal(value, second[key], err_msg=f"{name}: {key}")
    return done


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments(scenes: Path, tmp_path: Path, kills: int) -> None:
    whole = tmp_path / "whole"
    seconds = finish(["train", *LONG, "--data", scenes, "--out", whole], tmp_path / "output.txt")
    done, seed = 0, 0
    while done < kills:  # a run that came through before all kills were spent is followed by another
        done += kill_and_resume(whole, scenes, tmp_path / f"killed-{seed}", seconds, kills - done, seed)
        shutil.rmtree(tmp_path / f"killed-{seed}")
        seed += 1
