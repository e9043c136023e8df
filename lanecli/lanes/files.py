"""Files of lane lines: ``lanes.jsonl``, and the submission forms of TuSimple and CULane."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.lanes.lane import Lane
from lanecli.lanes.roles import foot

TUSIMPLE_SIZE: Size = (1280, 720)
TUSIMPLE_ROWS = tuple(range(160, 711, 10))
_CULANE_STEP = 10
_ABSENT = -2


def lanes_line(frame: int, time: float | None, size: Size, lanes: Iterable[Lane]) -> str:
    """One line of ``lanes.jsonl``, without its line break.

    Args:
        frame: index of the frame.
        time: of the frame in seconds.
        size: width and height of the frame the points lie in.
        lanes: its lane lines.
    """
    entry = {
        "frame": frame,
        "time": None if time is None else round(time, 6),
        "size": list(size),
        "lanes": [lane.to_json() for lane in lanes],
    }
    return json.dumps(entry, separators=(", ", ": "), ensure_ascii=False)


def read_lanes(path: Path) -> Iterator[tuple[int, Size, tuple[Lane, ...]]]:
    """Frame index, frame size and lane lines of each line of a ``lanes.jsonl``.

    Raises:
        InputError: the file cannot be read, or a line (it is named) is none.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            width, height = (int(side) for side in entry["size"])
            lanes = tuple(Lane.from_json(lane) for lane in entry["lanes"])
            yield int(entry["frame"]), (width, height), lanes
        except (ValueError, KeyError, TypeError, InputError, RecursionError) as error:
            raise InputError(f"{path} line {number}: no lane lines ({error})") from error


def tusimple_entry(raw_file: str, lanes: Iterable[Lane], size: Size, run_time: float) -> dict[str, Any]:
    """One line of a TuSimple submission: x in the official rows of a 1280x720 picture, -2 where a lane is absent.

    Args:
        raw_file: the picture's name.
        lanes: in pixels of the frame.
        size: of the frame; another than 1280x720 is scaled to it.
        run_time: milliseconds the picture took.
    """
    rows = np.array(TUSIMPLE_ROWS, float)
    found = [at_rows(lane, rows, size, TUSIMPLE_SIZE) for lane in lanes]
    return {
        "raw_file": raw_file,
        "lanes": [
            [_ABSENT if np.isnan(value) else round(float(value), 2) for value in x]
            for x in found
            if not np.isnan(x).all()
        ],
        "h_samples": list(TUSIMPLE_ROWS),
        "run_time": round(run_time, 3),
    }


def culane_text(lanes: Sequence[Lane]) -> str:
    """The ``X.lines.txt`` of a picture: a lane a line, "x y x y …" in the picture's own pixels, y falling by ten."""
    lines = []
    for lane in lanes:
        lowest, highest = float(lane.points[0, 1]), float(lane.points[-1, 1])
        rows = np.arange(np.floor(lowest / _CULANE_STEP) * _CULANE_STEP, highest - 1e-9, -float(_CULANE_STEP))
        pairs = [f"{x:.2f} {y:.0f}" for x, y in zip(lane.x_at(rows), rows, strict=True) if not np.isnan(x)]
        if len(pairs) > 1:
            lines.append(" ".join(pairs) + "\n")
    return "".join(lines)


def nearest_lanes(lanes: Sequence[Lane], size: Size, most: int) -> list[Lane]:
    """The `most` lanes that meet the bottom row nearest to its middle, from left to right."""
    feet = [foot(lane.points, size[1]) for lane in lanes]
    chosen = sorted(range(len(lanes)), key=lambda i: abs(feet[i] - (size[0] - 1) / 2))[:most]
    return [lanes[i] for i in sorted(chosen, key=lambda i: feet[i])]


def at_rows(lane: Lane, rows: np.ndarray, size: Size, target: Size) -> np.ndarray:
    """x of a lane of a frame of `size` in the `rows` of the same picture at `target` size; NaN where it is absent."""
    x = lane.x_at((rows + 0.5) * size[1] / target[1] - 0.5)
    return (x + 0.5) * target[0] / size[0] - 0.5
