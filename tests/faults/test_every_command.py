"""SIGTERM does in every command what Ctrl-C does: it ends soon, with one line and exit code 130."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from processes import start
from samples import SMALL_RUN, write_video
from test_predict_faults import pictures
from victims import STOPS, dice, listens

from lanecli.cli import app
from lanecli.media import write_mask

COMMANDS = ("predict", "overlay", "synth", "prepare", "train", "sweep", "evaluate", "export", "bench", "show", "list")


def words_of(command: str, folder: Path, scenes: Path, model: Path) -> list[object]:
    """A line of each command that takes a while."""
    out = folder / "out"
    small = [*SMALL_RUN, "train.epochs=200"]
    if command in ("predict", "overlay"):
        video = write_video(folder / "clip.mp4", frames=1500, size=(320, 180))
        if command == "predict":
            return ["predict", video, "--model", model, "--out", out]
        write_mask(folder / "masks" / "000000.png", np.eye(180, 320, dtype=np.uint8))
        for number in range(1, 1500):
            os.link(folder / "masks" / "000000.png", folder / "masks" / f"{number:06}.png")
        return ["overlay", video, "--masks", folder / "masks", "--out", out / "drawn.mp4"]
    if command == "prepare":
        pictures(folder / "layout" / "images", 300)
        pictures(folder / "layout" / "masks", 300)
    if command == "sweep":
        (folder / "sweep.yaml").write_text("variants: {a: [], b: []}\n")
    lines: dict[str, list[object]] = {
        "synth": ["synth", out, "--count", 5000, "--size", "256x144"],
        "prepare": ["prepare", "folder", folder / "layout", "--classes", "lane", "--out", out],
        "train": ["train", *small, "--data", scenes, "--out", out],
        "sweep": ["sweep", folder / "sweep.yaml", *small, "--data", scenes, "--out", out],
        "evaluate": ["evaluate", model, "--data", scenes],
        "export": ["export", "onnx", "lane", "--out", folder / "m.onnx"],
        "bench": ["bench", model],
        "show": ["show", "lane"],
        "list": ["list", "models"],
    }
    return lines[command]


def stopped(command: str, folder: Path, scenes: Path, model: Path, draw: random.Random) -> None:
    """Stop `command` at a random moment and look at what it says."""
    output = folder / "output.txt"
    process = start(words_of(command, folder, scenes, model), output)
    while process.is_alive() and not listens(process.pid):
        time.sleep(0.002)
    time.sleep(draw.uniform(0.05, 4) if command not in ("show", "list") else draw.uniform(0, 0.3))
    if process.is_alive():
        os.kill(process.pid, draw.choice(STOPS))
    process.join(60)
    if process.is_alive():
        process.kill()
        pytest.fail(f"{command} does not end")
    text = output.read_text()
    assert "Traceback" not in text, text
    assert process.exitcode in (130, 0), text
    if process.exitcode == 130:
        assert text.count("interrupted") <= 1 + text.count('"interrupted"')
        assert "interrupted" in text
    left = [path for path in folder.rglob(".*") if path.name.endswith(".lock")]
    assert not left


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_stopped_at_random_moments(command: str, scenes: Path, bright: Path, tmp_path: Path) -> None:
    draw = dice(command)
    for number in range(6):
        folder = tmp_path / str(number)
        folder.mkdir()
        stopped(command, folder, scenes, bright, draw)


@pytest.mark.parametrize("command", ["train"])
def test_stopped_once(command: str, scenes: Path, bright: Path, tmp_path: Path) -> None:
    stopped(command, tmp_path, scenes, bright, dice(command))


def test_every_command_is_among_them() -> None:
    names = set(app.COMMANDS)
    assert names <= set(COMMANDS) | QUICK, f"no test stops {names - set(COMMANDS) - QUICK}"


QUICK = {"score", "doctor", "calibrate", "uncertainty", "select", "ensemble"}
"""Commands that read and count, and write one file or folder at the end: their interruption is `main`'s alone."""


def test_the_handlers_are_the_same_for_all_signals() -> None:
    from lanecli.interruption import SIGNALS

    assert set(STOPS) < set(SIGNALS) == {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
