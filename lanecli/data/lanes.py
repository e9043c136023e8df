"""Annotated lane lines to slot-coded masks: which lane is which, counted from the camera outwards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lanecli.data.manifest import pictures_folder, safe_relative
from lanecli.data.rasterise import draw_line
from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.textfiles import numbered_lines, parse_json

EXTRA = 255
"""The id of a lane beyond the slots: a lane in binary masks, ignored in slot-coded ones."""


def foot(points: np.ndarray, height: int) -> float:
    """Where a lane's straight-line fit x(y) over its lower half meets the bottom row; points are (N, 2) x, y."""
    lower = points[np.argsort(points[:, 1])][len(points) // 2 if len(points) > 3 else 0 :]
    if len(lower) < 2 or np.ptp(lower[:, 1]) == 0:
        return float(lower[-1, 0])
    slope, offset = np.polyfit(lower[:, 1], lower[:, 0], 1)
    return float(slope * (height - 1) + offset)


def slots(lanes: Sequence[np.ndarray], size: Size, per_side: int = 3) -> list[int]:
    """The slot of each lane: 1 … 2·per_side from left to right, the ego lane's own two in the middle.

    A lane is left or right by where it meets the bottom row; those beyond `per_side` on a side are `EXTRA`.

    Args:
        lanes: (N, 2) x, y each, N at least 1.
        size: the picture's.
        per_side: slots on each side of the camera.
    """
    feet = [foot(points, size[1]) for points in lanes]
    found = [EXTRA] * len(lanes)
    middle = (size[0] - 1) / 2
    left = sorted((i for i, x in enumerate(feet) if x < middle), key=lambda i: -feet[i])
    right = sorted((i for i, x in enumerate(feet) if x >= middle), key=lambda i: feet[i])
    for rank, index in enumerate(left[:per_side]):
        found[index] = per_side - rank
    for rank, index in enumerate(right[:per_side]):
        found[index] = per_side + 1 + rank
    return found


def draw_lanes(mask: np.ndarray, lanes: Sequence[np.ndarray], values: Sequence[int], width: int) -> np.ndarray:
    """Draw lanes (N, 2) `width` pixels thick; those beyond the slots first, so that they hide none."""
    for points, value in sorted(zip(lanes, values, strict=True), key=lambda lane: lane[1] != EXTRA):
        draw_line(mask, points, value, width)
    return mask


def read_lane_lines(root: Path) -> dict[Path, tuple[np.ndarray, ...]]:
    """The lane lines of a prepared dataset, (N, 2) x, y each in pixels of the prepared picture, by picture.

    Args:
        root: the dataset; each line of its ``lanes.jsonl`` has ``image``, as in the manifest, and ``lanes``.

    Raises:
        InputError: there is none, or a line of it cannot be read.
    """
    path = root / "lanes.jsonl"
    if not path.is_file():
        raise InputError(
            f"{root}: has no lanes.jsonl, so its lane lines are not known; 'lanecli synth' and 'lanecli prepare' of "
            "sets that have lane lines write one"
        )
    base = pictures_folder(root)
    found = {}
    for number, line in numbered_lines(path):
        where = f"{path} line {number}"
        try:
            entry = parse_json(line, where)
            lanes = [np.array(lane["points"], float).reshape(-1, 2) for lane in entry["lanes"]]
            found[(base / safe_relative(entry["image"])).resolve()] = tuple(lanes)
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise InputError(f"{where}: no lane lines ({type(error).__name__}: {error})") from error
    return found
