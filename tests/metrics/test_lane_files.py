"""Lane scores on files: lists, missing files, categories, LLAMAS' labels; every rule with a case of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lane_reference import draw_lane, natural_spline, slack_match
from scipy.interpolate import splev, splprep
from scipy.optimize import linear_sum_assignment

from lanecli.errors import InputError
from lanecli.metrics import culane, llamas, openlane
from lanecli.metrics.lane_iou import count_matches, similarities
from lanecli.metrics.lane_scores import TUSIMPLE_ROWS, CulaneScore, TusimpleScore, at_rows, scaled
from lanecli.metrics.llamas_labels import read_x_values
from lanecli.metrics.picture_list import PictureList, file_of, list_of_files, read_lists
from lanecli.metrics.pool import run_jobs
from lanecli.metrics.warnings import Warnings

LEFT, RIGHT = "400 580 420 400 450 300\n", "1200 580 1100 400 1000 300\n"
SHAPES = st.lists(st.tuples(st.integers(0, 1600), st.integers(-60, 60), st.integers(-8, 8)), min_size=1, max_size=3)


def lane(foot: int, slope: int, bend: int) -> list[tuple[float, float]]:
    return [(foot + slope * i + bend * i * i / 4 + 0.25, 600.5 - 40 * i) for i in range(8)]


@settings(deadline=None, max_examples=12)
@given(SHAPES, SHAPES)
def test_culane_from_points_to_counts_against_the_written_rule(
    truth: list[tuple[int, int, int]], others: list[tuple[int, int, int]]
) -> None:
    moved = [(foot + 7, slope, bend) for foot, slope, bend in truth]
    sides = [[lane(*shape) for shape in shapes] for shapes in (truth, (moved + others)[:4])]
    drawn = [[draw_lane(np.rint(natural_spline(p)).astype(int), 30, (1640, 590)) for p in lanes] for lanes in sides]
    table = [[(a & b).sum() / (a | b).sum() if (a | b).any() else np.nan for b in drawn[1]] for a in drawn[0]]
    partners = slack_match(table)
    hits = sum(j >= 0 and table[i][j] > 0.5 for i, j in enumerate(partners))
    found = similarities(*([np.array(p, np.float32) for p in lanes] for lanes in sides), 30, (1640, 590))
    # the reference samples in double precision alone: an edge pixel may round the other way
    np.testing.assert_allclose(found, table, atol=2e-3)
    if not any(abs(v - 0.5) < 4e-3 for row in table for v in row):
        assert count_matches(found, 0.5).tp == hits


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return root


def score(tmp_path: Path, truth: dict[str, str], guess: dict[str, str], *entries: str) -> dict[str, Any]:
    folders = [str(tree(tmp_path / side, files)) for side, files in (("gt", truth), ("pred", guess))]
    for folder in folders:
        Path(folder).mkdir(exist_ok=True)
    return culane.score_lists(*folders, [PictureList("list", entries)], culane.Settings(), workers=1)


def counts(found: dict[str, Any]) -> tuple[int, int, int]:
    return found["tp"], found["fp"], found["fn"]


def test_a_missing_file_is_no_lanes_and_is_said(tmp_path: Path) -> None:
    truth, guess = {"a.lines.txt": LEFT + RIGHT, "b.lines.txt": LEFT}, {"b.lines.txt": LEFT, "c.lines.txt": RIGHT}
    found = score(tmp_path, truth, guess, "/a.jpg", "/b.jpg", "/c.jpg", "/d.jpg")
    assert counts(found) == (1, 1, 2)
    warnings = "\n".join(found["warnings"])
    for kind in (culane.NOTHING, culane.NO_TRUTH, culane.NO_PREDICTION):
        assert f"{kind}: 1, the first is" in warnings


@pytest.mark.parametrize(
    ("entry", "hit"),
    [
        ("/a.jpg", True),
        ("/a.png", True),
        ("/a", True),
        ("/a.jpg ", True),
        ("/a.jpg\r", True),
        ("/a.jpg.jpg", False),
        ("/a.jpg /masks/a.png 1 1 0 0", False),
        ("a.jpg", False),
        ("", False),
        ("/no\0name.jpg", False),
    ],
)
def test_entries_are_joined_as_text(tmp_path: Path, entry: str, hit: bool) -> None:
    assert counts(score(tmp_path, {"a.lines.txt": LEFT}, {"a.lines.txt": LEFT}, entry)) == (int(hit), 0, 0)


def test_a_folder_that_ends_in_a_slash_takes_entries_without_one() -> None:
    assert file_of("gt/", "b.c/a.jpg", ".lines.txt") == "gt/b.c/a.lines.txt"
    assert file_of("gt", "/b.c/a", ".lines.txt") == "gt/b.lines.txt"


def test_an_entry_listed_twice_counts_twice(tmp_path: Path) -> None:
    assert counts(score(tmp_path, {"a.lines.txt": LEFT}, {"a.lines.txt": RIGHT}, "/a.jpg", "/a.jpg")) == (0, 2, 2)


def test_blank_lines_are_lanes(tmp_path: Path) -> None:
    found = score(tmp_path, {"a.lines.txt": LEFT + "\n"}, {"a.lines.txt": LEFT + " \n# end\n"}, "/a.jpg")
    assert counts(found) == (1, 2, 1)
    assert sum("blank lines" in warning for warning in found["warnings"]) == 2


def test_a_repeated_point_ruins_a_lane_and_is_said(tmp_path: Path) -> None:
    twice = "400 580 420 400 420 400 450 300\n"
    found = score(tmp_path, {"a.lines.txt": LEFT}, {"a.lines.txt": twice}, "/a.jpg")
    assert counts(found) == (0, 1, 1)
    assert "twice in a row" in found["warnings"][0]
    (tmp_path / "2").mkdir()
    same = score(tmp_path / "2", {"a.lines.txt": twice}, {"a.lines.txt": twice}, "/a.jpg")
    assert counts(same) == (1, 0, 0)


def test_lanes_outside_the_picture_never_match(tmp_path: Path) -> None:
    away = "4000 100 4100 200\n"
    found = score(tmp_path, {"a.lines.txt": away}, {"a.lines.txt": away}, "/a.jpg")
    assert counts(found) == (0, 1, 1)
    assert "0/0" in found["warnings"][0]


def test_lists_are_scored_apart_and_together(tmp_path: Path) -> None:
    for side in ("gt", "pred"):
        tree(tmp_path / side, {"a.lines.txt": LEFT, "b.lines.txt": RIGHT if side == "gt" else LEFT})
    lists = read_lists([tree(tmp_path / "lists", {"one.txt": "/a.jpg\n", "two.txt": "/a.jpg\n/b.jpg\n"})])
    found = culane.score_lists(str(tmp_path / "gt"), str(tmp_path / "pred"), lists, culane.Settings(), workers=1)
    assert {name: counts(part) for name, part in found["lists"].items()} == {"one": (1, 0, 0), "two": (1, 1, 1)}
    assert (counts(found), found["pictures"]) == ((2, 1, 1), 3)
    assert list_of_files(str(tmp_path / "gt"), ".lines.txt").entries == ("/a.jpg", "/b.jpg")


def test_folders_and_lists_have_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        culane.score_lists(str(tmp_path / "no"), str(tmp_path), [], culane.Settings())
    for path in (tmp_path, tmp_path / "no.txt"):
        with pytest.raises(InputError, match="list"):
            read_lists([path])
    same = tree(tmp_path, {"x/a.txt": "", "y/a.txt": ""})
    with pytest.raises(InputError, match="two lists have the name a"):
        read_lists([same / "x", same / "y"])


def square(numbers: list[int]) -> list[int]:
    return [number * number for number in numbers]


@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_come_back_in_order(workers: int) -> None:
    seen: list[tuple[int, int]] = []
    assert run_jobs(square, list(range(300)), workers, lambda *done: seen.append(done)) == [n * n for n in range(300)]
    assert seen[-1] == (300, 300)


def openlane_counts(tmp_path: Path, truth: Any, guess: Any, **more: Any) -> tuple[int, int, int]:
    for side, document in (("gt", truth), ("pred", guess)):
        tree(tmp_path / side, {"a.json": document if isinstance(document, str) else json.dumps(document)})
    setting = openlane.Settings(**more)
    [(found, _)] = openlane.count_files(f"{tmp_path}/gt/", f"{tmp_path}/pred/", setting, ["a.jpg"])
    return found.tp, found.fp, found.fn


def openlane_file(*lanes: tuple[int, list[float], list[float]]) -> dict[str, Any]:
    return {"lane_lines": [{"category": c, "uv": [u, v]} for c, u, v in lanes]}


UP = (1, [500.0, 560.0, 700.0], [1200.0, 1000.0, 700.0])
OTHER = (2, *UP[1:])


@pytest.mark.parametrize(
    ("truth", "guess", "more", "expected"),
    [
        (openlane_file(UP), openlane_file(UP), {}, (1, 0, 0)),
        (openlane_file(UP), openlane_file(OTHER), {}, (0, 1, 1)),
        (openlane_file(UP), openlane_file(OTHER), {"categories": False}, (1, 0, 0)),
        (openlane_file(UP), openlane_file((257, *UP[1:])), {}, (1, 0, 0)),
        (openlane_file(UP), openlane_file((1, UP[1][::-1], UP[2][::-1])), {}, (1, 0, 0)),
        (openlane_file(UP), openlane_file((1, [5.0], [9.0])), {}, (0, 0, 1)),
        (openlane_file(UP), "", {}, (0, 0, 1)),
        (openlane_file(UP), "{oops", {}, (0, 0, 1)),
        (openlane_file(UP), "\ufeff{}", {}, (0, 0, 1)),
        (openlane_file(UP), json.dumps(openlane_file(UP)) + " trailing", {}, (1, 0, 0)),
        (openlane_file(UP), '{"lane_lines": NaN}', {}, (0, 0, 1)),
        (openlane_file(UP), "[" * 100_000, {}, (0, 0, 1)),
        (openlane_file(UP), {"lanes": []}, {}, (0, 0, 1)),
        ({"lane_lines": [{"uv": [[1, None], [2, 3]]}, 5]}, openlane_file(), {}, (0, 0, 0)),
    ],
)
def test_openlane(tmp_path: Path, truth: Any, guess: Any, more: dict[str, Any], expected: tuple[int, int, int]) -> None:
    assert openlane_counts(tmp_path, truth, guess, **more) == expected


def test_openlane_keeps_the_first_of_two_equal_keys() -> None:
    first = json.dumps(openlane_file(UP))[1:-1]
    lanes, _ = openlane.parse_lanes(f'{{{first}, "Lane_Lines": []}}'.encode(), "a", Warnings())
    assert len(lanes) == 1


def marker(start: tuple[int, int], stop: tuple[int, int], z: float = 10.0) -> dict[str, Any]:
    def point(names: str, values: tuple[float, ...]) -> dict[str, str]:
        return {name: str(value) for name, value in zip(names, values, strict=True)}

    return {
        "pixel_start": point("xy", start),
        "pixel_end": point("xy", stop),
        "world_start": point("xyz", (0, 1, z)),
        "world_end": point("xyz", (0, 1, z + 3)),
    }


def label(tmp_path: Path, **lanes: list[dict[str, Any]]) -> Path:
    document = {
        "projection_matrix": np.eye(3).tolist(),
        "lanes": [{"lane_id": name, "markers": markers} for name, markers in lanes.items()],
    }
    return tree(tmp_path / "labels" / "run", {"1.json": json.dumps(document)}) / "1.json"


DASHES = [marker((400, 600), (440, 500)), marker((480, 400), (500, 350), 30.0)]


def test_llamas_lines_reach_the_bottom_and_through_gaps(tmp_path: Path) -> None:
    xs = read_x_values(label(tmp_path, l0=DASHES))["l0"]
    assert xs[349] == -1
    assert xs[350] == 500
    assert xs[450] == pytest.approx(460)  # between the dashes
    assert xs[716] == round(400 - 116 * 0.4)


def test_llamas_lines_are_numbered_from_the_car(tmp_path: Path) -> None:
    xs = read_x_values(label(tmp_path, l3=DASHES, l0=[marker((100, 600), (110, 590))] * 2, r2=DASHES))
    assert max(xs["l0"]) == 500  # l3; the one of ten rows is gone
    assert max(xs["l1"]) == max(xs["r1"]) == -1
    assert max(xs["r0"]) == 500


def test_llamas_leaves_out_lines_of_one_marker_and_refuses_what_is_none(tmp_path: Path) -> None:
    assert max(read_x_values(label(tmp_path, l0=[marker((400, 600), (440, 500))]))["l0"]) == -1
    for text in ("{}", "[]", "{", '{"lanes": [{"lane_id": "l0", "markers": []}], "projection_matrix": []}'):
        with pytest.raises(InputError):
            read_x_values(tree(tmp_path, {"x.json": text}) / "x.json")


@settings(deadline=None, max_examples=8)
@given(SHAPES, SHAPES)
def test_llamas_counts_against_the_written_rule(
    truth: list[tuple[int, int, int]], others: list[tuple[int, int, int]]
) -> None:
    rows = np.arange(716, 320, -4)
    true = [np.stack([foot + slope * (716 - rows) / 40, rows], 1).astype(float) for foot, slope, _ in truth]
    guesses = [[(foot + 5 + slope * i, 700.0 - 40 * i) for i in range(8)] for foot, slope, _ in truth + others]
    drawn = []
    for points in guesses:
        knots, _ = splprep(np.array(points).T, s=0, k=3)
        curve = np.array(splev(np.linspace(0, 1, 50), knots)).T
        drawn.append(draw_lane(curve.astype(int), 30, llamas.SIZE))
    annotated = [draw_lane(points.astype(int), 30, llamas.SIZE) for points in true]
    united = [[(a | b).sum() for b in annotated] for a in drawn]
    if not np.all(united):
        return
    table = np.array(
        [[(a & b).sum() / u for b, u in zip(annotated, us, strict=True)] for a, us in zip(drawn, united, strict=True)]
    )
    hits = int((table[linear_sum_assignment(1 - table)] > 0.5).sum())
    assert llamas.count_picture(guesses, true).tp == hits


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (0, 0, 1)),
        ("500 350 480 400 400 600\n", (1, 0, 0)),
        ("500 350 500 350 480 400 400 600\r\n", (1, 0, 0)),
        ("500 350\n", (0, 0, 1)),
        ("500 350 nan nan 400 600\n", (0, 1, 1)),
        ("500 350 480\n", None),
        ("500 350 end 400\n", None),
        ("500 350 500 350\n", None),
        (None, None),
    ],
)
def test_llamas_prediction_files(tmp_path: Path, text: str | None, expected: tuple[int, int, int] | None) -> None:
    label(tmp_path, l0=DASHES)
    guess = tmp_path / "pred"
    guess.mkdir()
    if text is not None:
        tree(guess / "run", {"1.lines.txt": text})
    if expected is None:
        with pytest.raises(InputError):
            llamas.score_lines(tmp_path / "labels", guess)
        return
    found = llamas.score_lines(tmp_path / "labels", guess)
    assert (found["TP"], found["FP"], found["FN"]) == expected
    assert found["F1"] == float(expected == (1, 0, 0))


def test_llamas_regression_rules(tmp_path: Path) -> None:
    truth = read_x_values(label(tmp_path, l0=DASHES))
    lines: dict[str, Any] = {**truth, "l0": [x + 3 for x in truth["l0"]], "r0": [5.0] * 417}
    path = tmp_path / "guess.json"

    def distance(**more: Any) -> dict[str, Any]:
        path.write_text(json.dumps({"run/1.json": {**lines, **more}}))
        return llamas.score_regression(tmp_path / "labels", path)

    found = distance()
    assert found["l0"] == found["mean"] == pytest.approx(3)
    assert found["r0"] is None
    assert distance(l0=lines["l0"][300:])["l0"] == pytest.approx(3)
    for wrong in ([1.0] * 400, [float("nan")] * 717, "text", None):
        with pytest.raises(InputError, match="l0"):
            distance(l0=wrong)
    path.write_text("{}")
    with pytest.raises(InputError, match="does not have run/1"):
        llamas.score_regression(tmp_path / "labels", path)


def test_streaming_scores_add_up_and_scale() -> None:
    rng = np.random.default_rng(1)
    whole, parts = (TusimpleScore(), CulaneScore()), [(TusimpleScore(), CulaneScore()) for _ in range(2)]
    for number in range(6):
        y = np.arange(700.0, 300, -20)
        true = [np.stack([foot + (700 - y) * 0.4, y], 1) for foot in (200, 600)]
        guess = [points + np.array([rng.normal(0, 15), 0]) for points in true]
        for kind in (0, 1):
            whole[kind].update(guess, true, (1280, 720))
            parts[number % 2][kind].update(guess, true, (1280, 720))
    for kind in (0, 1):
        parts[0][kind].merge(parts[1][kind])
        assert parts[0][kind].counts.keys() == whole[kind].counts.keys()
        for name, count in whole[kind].counts.items():
            np.testing.assert_allclose(parts[0][kind].counts[name], count)
    assert whole[1].scores()["tp"] + whole[1].scores()["fn"] == 12
    assert TusimpleScore().scores()["accuracy"] is None
    # half the size, the same figures: thresholds are in the benchmark's own pixels
    small = TusimpleScore()
    points = np.array([[640.0, 700.0], [640.0, 200.0]])
    guess, truth = (scaled([lane], (1280, 720), (640, 360)) for lane in (points + np.array([15, 0]), points))
    small.update(guess, truth, (640, 360))
    assert small.scores()["accuracy"] == 1.0


def test_polylines_at_rows() -> None:
    found = at_rows(np.array([[100.0, 300.0], [200.0, 200.0]]), TUSIMPLE_ROWS)
    assert found[TUSIMPLE_ROWS == 250] == 150
    assert (found[(TUSIMPLE_ROWS < 200) | (TUSIMPLE_ROWS > 300)] == -2).all()
    assert (at_rows(np.zeros((0, 2)), TUSIMPLE_ROWS) == -2).all()
