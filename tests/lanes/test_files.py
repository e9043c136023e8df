"""Lane files: lanes.jsonl, TuSimple's and CULane's forms."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanecli.errors import InputError
from lanecli.lanes import Lane
from lanecli.lanes.files import culane_text, lanes_line, nearest_lanes, read_lanes, tusimple_entry

LINE = Lane(
    np.array([[100.0, 719.0], [400.0, 419.0], [500.0, 300.0]]),
    0.8,
    "ego-left",
    "lane marking",
    "solid",
    "white",
    9.0,
    3,
)


def test_a_line_has_the_keys_of_the_contract() -> None:
    entry = json.loads(lanes_line(0, 0.0, (1280, 720), [LINE]))
    assert list(entry) == ["frame", "time", "size", "lanes"]
    assert entry["size"] == [1280, 720]
    assert list(entry["lanes"][0]) == ["id", "role", "class", "style", "color", "confidence", "points"]
    assert entry["lanes"][0]["points"][0] == [100.0, 719.0]


words = st.sampled_from
lane_lines = st.builds(
    lambda points, confidence, role, style, color, number: Lane(
        np.array(points, float), confidence, role, "lane marking", style, color, None, number
    ),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), min_size=2, max_size=20),
    st.floats(0, 1),
    words(["ego-left", "ego-right", "left", "right", None]),
    words(["solid", "dashed", "double", None]),
    words(["white", "yellow", None]),
    st.integers(0, 10**6),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(lane_lines, max_size=5), st.integers(0, 10**6), st.none() | st.floats(0, 1e6))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, lanes: list[Lane], frame: int, time: float | None
) -> None:
    path = tmp_path_factory.mktemp("lanes") / "x.lanes.jsonl"
    path.write_text(lanes_line(frame, time, (640, 352), lanes) + "\n\n", encoding="utf-8")
    [(number, size, read)] = read_lanes(path)
    assert (number, size) == (frame, (640, 352))
    for one, other in zip(lanes, read, strict=True):
        assert one.to_json() == other.to_json()


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"frame": 0, "size": [1], "lanes": []}',
        '{"frame": 0, "size": [1, 2], "lanes": [{"points": [[0, 1]], "confidence": 1}]}',
        '{"frame": 0, "size": [1, 2], "lanes": [{"points": [[0, 1], [1, NaN]], "confidence": 1}]}',
        '{"frame": 0, "size": [1, 2], "lanes": [{"points": [[0, 1], [1, 2]], "confidence": 2}]}',
        '{"frame": 0, "size": [1, 2], "lanes": [{"points": [[0, 1], [1, 2]], "confidence": 1, "role": "middle"}]}',
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(lanes_line(0, 0.0, (8, 8), []) + "\n" + line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 2"):
        list(read_lanes(path))


def test_tusimple_rows_are_the_official_ones() -> None:
    entry = tusimple_entry("clips/1/20.jpg", [LINE], (1280, 720), 12.0)
    assert entry["h_samples"] == list(range(160, 711, 10))
    [x] = entry["lanes"]
    assert len(x) == 56
    for y, value in zip(entry["h_samples"], x, strict=True):
        if not 300 <= y <= 719:
            assert value == -2
        elif y >= 419:
            assert value == pytest.approx(100 + (719 - y), abs=0.01)


def test_a_frame_of_another_size_is_scaled_to_tusimples() -> None:
    half = Lane((LINE.points + 0.5) / 2 - 0.5, 0.5)
    small = tusimple_entry("x", [half], (640, 360), 0.0)["lanes"]
    np.testing.assert_allclose(small, tusimple_entry("x", [LINE], (1280, 720), 0.0)["lanes"], atol=0.02)


def test_culane_text_falls_by_ten_in_the_pictures_own_pixels() -> None:
    [text] = culane_text([LINE]).splitlines()
    numbers = np.array(text.split(), float).reshape(-1, 2)
    np.testing.assert_array_equal(numbers[:, 1], np.arange(710, 299, -10))
    np.testing.assert_allclose(numbers[:, 0], LINE.x_at(numbers[:, 1]), atol=0.01)
    assert culane_text([]) == ""


def test_the_lanes_nearest_to_the_middle_are_kept() -> None:
    lanes = [Lane(np.array([[float(x), 99.0], [50.0, 10.0]]), 0.5, id=x) for x in (0, 30, 45, 70, 99)]
    assert [lane.id for lane in nearest_lanes(lanes, (100, 100), 3)] == [30, 45, 70]


def test_a_lane_needs_two_points() -> None:
    with pytest.raises(InputError, match="points"):
        Lane(np.zeros((1, 2)), 0.5)
