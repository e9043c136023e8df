"""Reads and writes files of lane lines: ``lanes.jsonl``, and the submission formats of TuSimple and CULane."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.lanes.lane import Lane
from lanecli.lanes.roles import x_at_bottom

TUSIMPLE_SIZE: Size = (1280, 720)
TUSIMPLE_ROWS = tuple(range(160, 711, 10))
_CULANE_STEP = 10
_ABSENT = -2


def lanes_line(frame: int, time: float | None, size: Size, lanes: Iterable[Lane]) -> str:
    """Return one line of ``lanes.jsonl``, without its line break.

    Args:
        frame: index of the frame.
        time: time of the frame in seconds, or None.
        size: (width, height) of the frame, in whose pixels the points are.
        lanes: the lane lines of the frame.

    Example:
        >>> lanes_line(0, None, (640, 352), [])
        '{"frame": 0, "time": null, "size": [640, 352], "lanes": []}'
    """
    entry = {
        "frame": frame,
        "time": None if time is None else round(time, 6),
        "size": list(size),
        "lanes": [lane.to_json() for lane in lanes],
    }
    return json.dumps(entry, separators=(", ", ": "), ensure_ascii=False)


def read_lanes(path: Path) -> Iterator[tuple[int, Size, tuple[Lane, ...]]]:
    """Yield the frame index, the frame size and the lane lines of each line of a ``lanes.jsonl``.

    Raises:
        InputError: the file cannot be read, or a line is invalid; the message gives the number of the line.
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
            raise InputError(f"{path} line {number}: invalid lane lines ({error})") from error


def tusimple_entry(raw_file: str, lanes: Iterable[Lane], size: Size, run_time: float) -> dict[str, Any]:
    """Return one entry of a TuSimple submission: x in the official rows of a 1280x720 picture, -2 beyond a lane.

    Args:
        raw_file: name of the picture.
        lanes: lane lines in pixels of the frame.
        size: (width, height) of the frame; lines of other sizes are scaled to 1280x720.
        run_time: processing time of the picture in milliseconds.
    """
    rows = np.array(TUSIMPLE_ROWS, float)
    sampled = [at_rows(lane, rows, size, TUSIMPLE_SIZE) for lane in lanes]
    return {
        "raw_file": raw_file,
        "lanes": [
            [_ABSENT if np.isnan(value) else round(float(value), 2) for value in x]
            for x in sampled
            if not np.isnan(x).all()
        ],
        "h_samples": list(TUSIMPLE_ROWS),
        "run_time": round(run_time, 3),
    }


def culane_text(lanes: Sequence[Lane]) -> str:
    """Return CULane's ``X.lines.txt`` of a picture: one line of text "x y x y …" per lane, in pixels, from near to far.

    y is a multiple of ten, and decreases by ten from point to point.
    """
    lines = []
    for lane in lanes:
        lowest, highest = float(lane.points[0, 1]), float(lane.points[-1, 1])
        rows = np.arange(np.floor(lowest / _CULANE_STEP) * _CULANE_STEP, highest - 1e-9, -float(_CULANE_STEP))
        pairs = [f"{x:.2f} {y:.0f}" for x, y in zip(lane.x_at(rows), rows, strict=True) if not np.isnan(x)]
        if len(pairs) > 1:
            lines.append(" ".join(pairs) + "\n")
    return "".join(lines)


def nearest_lanes(lanes: Sequence[Lane], size: Size, limit: int) -> list[Lane]:
    """Return the `limit` lanes that meet the bottom row nearest to its middle, from left to right."""
    bottom_xs = [x_at_bottom(lane.points, size[1]) for lane in lanes]
    nearest = sorted(range(len(lanes)), key=lambda i: abs(bottom_xs[i] - (size[0] - 1) / 2))[:limit]
    return [lanes[i] for i in sorted(nearest, key=lambda i: bottom_xs[i])]


def at_rows(lane: Lane, rows: np.ndarray, size: Size, target: Size) -> np.ndarray:
    """Return x of a lane in the rows of a scaled picture, NaN where the lane is absent.

    Args:
        lane: a lane of a frame of the given size.
        rows: (N,) rows of the picture at the size `target`.
        size: (width, height) of the frame.
        target: (width, height) of the scaled picture.

    Returns:
        (N,) x in pixels of the scaled picture.
    """
    x = lane.x_at((rows + 0.5) * size[1] / target[1] - 0.5)
    return (x + 0.5) * target[0] / size[0] - 0.5
