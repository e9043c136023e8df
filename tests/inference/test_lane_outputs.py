"""Lane lines from `predict` to files: `lanes.jsonl`, TuSimple's and CULane's forms, and drawn again."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from lanes.flat_roads import Line, Road
from samples import Outcome, brightness_model

from lanecli.media import Frame, VideoSettings, VideoWriter, read_picture, write_picture

Cli = Callable[..., Outcome]
SIZE = (320, 176)
ROAD = Road(SIZE, 160.0, 75.0, 0.0, 275.0, (Line(-3.6), Line(-1.2), Line(1.2), Line(3.6)))
ROLES = ["left", "ego-left", "ego-right", "right"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return brightness_model(tmp_path / "models" / "bright.onnx", size=SIZE)


def picture() -> np.ndarray:
    return np.repeat(ROAD.mask()[..., None] * np.uint8(235), 3, axis=2)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    write_picture(tmp_path / "in" / "a" / "one.png", picture())
    write_picture(tmp_path / "in" / "two.png", np.zeros((*SIZE[::-1], 3), np.uint8))
    return tmp_path / "in"


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "drive.mp4"
    path.parent.mkdir(exist_ok=True)
    with VideoWriter(path, VideoSettings(SIZE, 10)) as writer:
        for number in range(6):
            writer.write(Frame.from_rgb(picture(), number, number, Fraction(1, 10)))
    return path


def true_x(rows: np.ndarray, line: int) -> np.ndarray:
    return ROAD.x(ROAD.lines[line].u, rows)


def test_pictures_give_all_three_forms(cli: Cli, model: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = cli("predict", pictures, "--model", model, "--out", out, "--save", "lanes,tusimple,culane", "--json")
    assert done.code == 0, done.err
    [line] = (out / "a" / "one.lanes.jsonl").read_text().splitlines()
    entry = json.loads(line)
    assert list(entry) == ["frame", "time", "size", "lanes"]
    assert (entry["frame"], entry["time"], entry["size"]) == (0, 0.0, list(SIZE))
    assert [lane["role"] for lane in entry["lanes"]] == ROLES
    for number, lane in enumerate(entry["lanes"]):
        assert list(lane) == ["id", "role", "class", "style", "color", "confidence", "points"]
        x, y = np.array(lane["points"]).T
        assert (np.diff(y) < 0).all()
        assert np.diff(y).min() >= -10
        assert np.abs(x - true_x(y, number))[y > ROAD.vy + 12].max() < 3
    assert json.loads((out / "two.lanes.jsonl").read_text())["lanes"] == []

    answers = {a["raw_file"]: a for a in map(json.loads, (out / "tusimple.json").read_text().splitlines())}
    assert set(answers) == {"a/one.png", "two.png"}
    assert answers["two.png"]["lanes"] == []
    rows = np.arange(160, 711, 10)
    truth = []
    for number, lane in enumerate(answers["a/one.png"]["lanes"]):
        assert len(lane) == len(rows)
        x, seen = np.array(lane), np.array(lane) >= 0
        truth.append(4 * (true_x((rows + 0.5) / 720 * 176 - 0.5, number) + 0.5) - 0.5)
        assert np.abs(x - truth[-1])[seen & (rows > 340)].max() < 12
    assert [lane for lane in answers["a/one.png"]["lanes"] if -2 not in lane] == []

    values = [[float(v) for v in line.split()] for line in (out / "a" / "one.lines.txt").read_text().splitlines()]
    assert len(values) == 4
    for number, points in enumerate(values):
        x, y = np.array(points).reshape(-1, 2).T
        assert (np.diff(y) == -10).all()
        assert (y % 10 == 0).all()
        assert np.abs(x - true_x(y, number))[y > ROAD.vy + 12].max() < 3
    assert (out / "two.lines.txt").read_text() == ""


def test_scores_read_what_predict_wrote(cli: Cli, model: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli("predict", pictures / "a", "--model", model, "--out", out, "--save", "tusimple,culane").code == 0
    answer = json.loads((out / "tusimple.json").read_text())
    rows = np.arange(160, 711, 10)
    lanes = []
    for number in range(4):
        x = 4 * (true_x((rows + 0.5) / 720 * 176 - 0.5, number) + 0.5) - 0.5
        lanes.append([round(v) if 0 <= v < 1280 and y > 336 else -2 for v, y in zip(x.tolist(), rows, strict=True)])
    truth = {"raw_file": answer["raw_file"], "lanes": lanes, "h_samples": rows.tolist()}
    (tmp_path / "truth.json").write_text(json.dumps(truth) + "\n")
    scores = cli("score", "tusimple", tmp_path / "truth.json", out / "tusimple.json", "--json").json()
    assert scores["accuracy"] > 0.9  # type: ignore[index]
    assert (scores["fp"], scores["fn"]) == (0, 0)  # type: ignore[index]

    own = tmp_path / "own"
    own.mkdir()
    rows = np.arange(170, 89, -10)
    pairs = [np.stack([true_x(rows, number), rows], axis=1) for number in range(4)]
    inside = [line[(line[:, 0] >= 0) & (line[:, 0] < SIZE[0])] for line in pairs]
    (own / "one.lines.txt").write_text("".join(" ".join(f"{v:.1f}" for v in p.ravel()) + "\n" for p in inside))
    (tmp_path / "list.txt").write_text("/one.png\n")
    asked = ("score", "culane", own, out, "--list", tmp_path / "list.txt", "--size", "320x176", "--width", 6, "--json")
    culane = cli(*asked).json()
    assert (culane["tp"], culane["fp"], culane["fn"]) == (4, 0, 0)  # type: ignore[index]


def test_a_video_keeps_its_lines_over_the_frames(cli: Cli, model: Path, video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = cli("predict", video, "--model", model, "--out", out, "--save", "lanes,tusimple,culane", "--json")
    assert done.code == 0, done.err
    entries = [json.loads(line) for line in (out / "drive.lanes.jsonl").read_text().splitlines()]
    assert [entry["frame"] for entry in entries] == list(range(6))
    np.testing.assert_allclose([entry["time"] for entry in entries], np.arange(6) / 10, atol=1e-3)
    for entry in entries:
        assert [lane["role"] for lane in entry["lanes"]] == ROLES
        assert [lane["id"] for lane in entry["lanes"]] == [lane["id"] for lane in entries[0]["lanes"]]
    names = [json.loads(line)["raw_file"] for line in (out / "tusimple.json").read_text().splitlines()]
    assert names == [f"drive/{number:06d}" for number in range(6)]
    assert sorted(path.name for path in (out / "drive.lines").iterdir()) == [f"{n:06d}.lines.txt" for n in range(6)]
    assert len((out / "drive.lines" / "000003.lines.txt").read_text().splitlines()) == 4


def test_lines_beside_the_masks_are_drawn_again(
    cli: Cli, model: Path, video: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    asked = ("predict", video, pictures / "a" / "one.png", "--model", model, "--out", out)
    assert cli(*asked, "--save", "overlay,masks,lanes").code == 0
    shown = read_picture(out / "one.overlay.png")
    again = ("overlay", pictures / "a" / "one.png", "--masks", out / "one.mask.png", "--out")
    assert cli(*again, tmp_path / "again.png").code == 0
    np.testing.assert_array_equal(read_picture(tmp_path / "again.png"), shown)
    assert cli(*again, tmp_path / "plain.png", "--no-lanes").code == 0
    plain = read_picture(tmp_path / "plain.png")
    assert (plain[150:, 140:180] != shown[150:, 140:180]).any()  # the own lane
    np.testing.assert_array_equal(plain[150:, 155:165], picture()[150:, 155:165])
    done = cli("overlay", video, "--masks", out / "drive.masks", "--out", tmp_path / "again.mp4")
    assert done.code == 0, done.err
    assert (tmp_path / "again.mp4").read_bytes() == (out / "drive.overlay.mp4").read_bytes()


def test_lines_of_another_size_are_refused(cli: Cli, model: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ("predict", pictures / "a" / "one.png", "--model", model, "--out", out, "--save", "masks,lanes")
    assert cli(*asked).code == 0
    lines = out / "one.lanes.jsonl"
    lines.write_text(lines.read_text().replace('"size": [320, 176]', '"size": [640, 352]'))
    done = cli("overlay", pictures / "a" / "one.png", "--masks", out, "--out", tmp_path / "again.png")
    assert done.code == 2
    assert "640x352" in done.err
