"""Scores of lane lines as evaluation counts them, against the official rules on files."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lanecli.data.lanes import read_lane_lines
from lanecli.errors import InputError
from lanecli.labelmaps import label_map
from lanecli.lanes import Lane
from lanecli.lanes.files import tusimple_entry
from lanecli.media import Frame
from lanecli.metrics import Truth
from lanecli.metrics.lanes import LaneScores
from lanecli.metrics.tusimple import score_files

MASK = np.zeros((720, 1280), np.uint8)
FRAME = Frame.from_rgb(np.zeros((720, 1280, 3), np.uint8))


def line(bottom: float, top: float) -> np.ndarray:
    y = np.arange(719.0, 299.0, -7.0)
    return np.stack([np.interp(y, [300, 719], [top, bottom]), y], axis=1)


TRUE = [line(300, 600), line(1000, 700), line(40, 520)]
FOUND = [Lane(line(305, 600), 0.9), Lane(line(1100, 800), 0.5)]


def prediction(lanes: list[Lane]) -> SimpleNamespace:
    return SimpleNamespace(frame=FRAME, lanes=tuple(lanes))


def test_perfect_lanes_score_one() -> None:
    metric = LaneScores(label_map("lane"))
    metric.update(prediction([Lane(points, 1.0) for points in TRUE]), Truth(MASK, tuple(TRUE)))
    scores = metric.scores()["lanes"]
    assert scores["tusimple"] == {"accuracy": 1.0, "fp": 0.0, "fn": 0.0}
    assert scores["culane"] == {"f1": 1.0, "precision": 1.0, "recall": 1.0}


def test_it_agrees_with_the_score_of_files(tmp_path: Path) -> None:
    metric = LaneScores(label_map("lane"))
    metric.update(prediction(FOUND), Truth(MASK, tuple(TRUE)))
    truth = tusimple_entry("a", [Lane(points, 1.0) for points in TRUE], (1280, 720), 1.0)
    found = tusimple_entry("a", FOUND, (1280, 720), 1.0)
    for name, entry in (("t", truth), ("p", found)):
        (tmp_path / name).write_text(json.dumps(entry) + "\n")
    official = score_files(tmp_path / "t", tmp_path / "p")
    scores = metric.scores()["lanes"]
    assert scores["tusimple"] == pytest.approx({name: official[name] for name in ("accuracy", "fp", "fn")})
    assert scores["culane"]["precision"] == 0.5
    assert scores["culane"]["recall"] == pytest.approx(1 / 3)


def test_nothing_found_and_nothing_true_is_not_defined() -> None:
    metric = LaneScores(label_map("lane"))
    metric.update(prediction([]), Truth(MASK, ()))
    assert metric.scores()["lanes"]["culane"] == {"f1": None, "precision": None, "recall": None}


def test_lane_lines_of_a_dataset_are_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lanes\.jsonl"):
        read_lane_lines(tmp_path)
    entry = {"image": "images/a.jpg", "lanes": [{"points": [[1, 2], [3, 4]]}]}
    (tmp_path / "lanes.jsonl").write_text(json.dumps(entry) + "\n")
    [(path, [lane])] = read_lane_lines(tmp_path).items()
    assert path == (tmp_path / "images/a.jpg").resolve()
    np.testing.assert_array_equal(lane, [[1, 2], [3, 4]])
    (tmp_path / "lanes.jsonl").write_text(json.dumps(entry) + '\n{"image": 3}\n')
    with pytest.raises(InputError, match="line 2"):
        read_lane_lines(tmp_path)
