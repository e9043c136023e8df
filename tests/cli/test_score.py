"""``lanecli score``: one document, a table that says what is not defined, and one clear line for what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from samples import Outcome

from lanecli.media import write_mask
from lanecli.metrics.scores import SCORES

Cli = Callable[..., Outcome]
LEFT, RIGHT = "400 580 420 400 450 300\n", "1200 580 1100 400 1000 300\n"


@pytest.fixture
def lanes(tmp_path: Path) -> Path:
    """Two lists of CULane pictures: one right, one a crossroad with a false positive."""
    for name, text in {
        "gt/a.lines.txt": LEFT + RIGHT,
        "gt/x.lines.txt": "",
        "pred/a.lines.txt": RIGHT + LEFT + "\n",
        "pred/x.lines.txt": LEFT,
        "lists/test0_normal.txt": "/a.jpg\n",
        "lists/test7_cross.txt": "/x.jpg\n/none.jpg\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_culane_by_list_and_together(cli: Cli, lanes: Path) -> None:
    done = cli("score", "culane", lanes / "gt", lanes / "pred", "--list", lanes / "lists", "--json")
    document = done.json()
    assert [document[key] for key in ("tp", "fp", "fn")] == [2, 2, 0]
    assert document["lists"]["test7_cross"]["recall"] == -1
    assert document["lists"]["test7_cross"]["not_defined"] == ["recall", "f1"]
    assert document["size"] == [1640, 590]
    assert "warning: entries without a file on either side (not counted): 1" in done.err
    lines = cli("score", "culane", lanes / "gt", lanes / "pred", "--list", lanes / "lists").out.splitlines()
    assert re.fullmatch(r"test7_cross +0 +1 +0 +0 +not defined \(-1\) +not defined \(0\)", lines[2])
    assert lines[3].split()[:4] == ["all", "2", "2", "0"]


def test_culane_settings(cli: Cli, lanes: Path) -> None:
    found = cli("score", "culane", lanes / "gt", lanes / "pred", "--width", "4", "--iou", "0.999", "--json").json()
    assert found["iou"] == 0.999
    assert list(found["lists"]) == ["all of gt"]
    for wrong in (["--width", "1"], ["--size", "wide"], ["--list", lanes / "no.txt"]):
        done = cli("score", "culane", lanes / "gt", lanes / "pred", *wrong)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith("error: ")
        assert done.err.count("\n") == 1


def test_tusimple(cli: Cli, tmp_path: Path) -> None:
    rows = list(range(240, 440, 10))
    picture = {"raw_file": "a", "lanes": [[600] * 20], "h_samples": rows, "run_time": 10}
    path = tmp_path / "gt.json"
    path.write_text(json.dumps(picture) + "\n")
    document = cli("score", "tusimple", path, path, "--json").json()
    assert (document["accuracy"], document["fp"], document["fn"]) == (1, 0, 0)
    assert cli("score", "tusimple", path, path).out.splitlines()[0] == "accuracy  1"
    path.write_text("\n")
    done = cli("score", "tusimple", path, path)
    assert (done.code, done.out) == (2, "")
    assert "line 1 is blank" in done.err


def test_pictures(cli: Cli, tmp_path: Path) -> None:
    write_mask(tmp_path / "drivable" / "a.png", np.array([[0, 1, 2]], np.uint8))
    write_mask(tmp_path / "lane" / "a.png", np.array([[6, 22, 255]], np.uint8))
    write_mask(tmp_path / "ids" / "a.png", np.array([[0, 200, 204]], np.uint8))
    write_mask(tmp_path / "binary" / "a.png", np.array([[0, 255, 255]], np.uint8))
    for task in ("drivable", "lane"):
        document = cli("score", "bdd100k", tmp_path / task, tmp_path / task, "--json").json()
        assert document["task"] == task
        assert document["summary"]["mIoU" if task == "drivable" else "F1_pix1"] == 100
        assert "100 %" in cli("score", "bdd100k", tmp_path / task, tmp_path / task).out
    assert cli("score", "bdd100k", tmp_path / "lane", tmp_path / "lane", "--task", "signs").code == 2
    document = cli("score", "apolloscape", tmp_path / "ids", tmp_path / "ids", "--json").json()
    assert document["mean_iou_classes"] == 1
    assert "over 3 classes, void included" in cli("score", "apolloscape", tmp_path / "ids", tmp_path / "ids").out
    document = cli("score", "masks", tmp_path / "binary", tmp_path / "binary", "--classes", "binary", "--json").json()
    assert (document["miou"], document["n_images"]) == (1, 1)
    assert "mIoU 1.0000" in cli("score", "masks", tmp_path / "binary", tmp_path / "binary", "--classes", "binary").out
    assert cli("score", "masks", tmp_path / "binary", tmp_path / "binary", "--classes", "binari").code == 2


def test_openlane_and_llamas(cli: Cli, tmp_path: Path) -> None:
    lane = {"category": 1, "uv": [[500, 560, 700], [1200, 1000, 700]]}
    for side, category in (("gt", 1), ("pred", 2)):
        (tmp_path / side).mkdir()
        (tmp_path / side / "a.json").write_text(json.dumps({"lane_lines": [{**lane, "category": category}]}))
    assert cli("score", "openlane", tmp_path / "gt", tmp_path / "pred", "--json").json()["tp"] == 0
    found = cli("score", "openlane", tmp_path / "gt", tmp_path / "pred", "--no-categories", "--json").json()
    assert (found["tp"], found["f1"], found["categories"]) == (1, 1, False)
    done = cli("score", "llamas", tmp_path / "gt", tmp_path / "pred")
    assert (done.code, done.out) == (2, "")
    assert "not a LLAMAS label" in done.err or "prediction cannot be read" in done.err


def test_every_score_is_a_command_and_is_listed(cli: Cli) -> None:
    listed = {row["name"]: row["summary"] for row in cli("list", "metrics", "--json").json()}
    for name in SCORES:
        assert cli("score", name, "--help").code == 0
        assert listed[name] == SCORES.entry(name).summary
        assert callable(SCORES.get(name))
