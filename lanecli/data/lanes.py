"""Annotated lane lines: their slots, counted outwards from the camera, slot-coded masks, and ``lanes.jsonl``."""

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
"""The id of a lane beyond the slots, which is a lane in binary masks and ignored in slot-coded ones."""


def bottom_crossing(points: np.ndarray, height: int) -> float:
    """Return the x at which a straight line, fitted to a lane's lower half, crosses the bottom row.

    Args:
        points: (N, 2) x, y of the lane.
        height: the picture's height.
    """
    lower = points[np.argsort(points[:, 1])][len(points) // 2 if len(points) > 3 else 0 :]
    if len(lower) < 2 or np.ptp(lower[:, 1]) == 0:
        return float(lower[-1, 0])
    slope, offset = np.polyfit(lower[:, 1], lower[:, 0], 1)
    return float(slope * (height - 1) + offset)


def assign_slots(lanes: Sequence[np.ndarray], size: Size, per_side: int = 3) -> list[int]:
    """Return the slot of each lane: 1 … 2·per_side from left to right, the ego lane's two lines in the middle.

    Whether a lane is on the left or right depends on where it crosses the bottom row. Lanes beyond the `per_side`
    nearest ones of a side are `EXTRA`.

    Args:
        lanes: (N, 2) x, y of each lane, with N at least 1.
        size: (width, height) of the picture.
        per_side: number of slots on each side of the camera.

    Example:
        >>> left, right = np.array([(40.0, 50.0), (20.0, 99.0)]), np.array([(60.0, 50.0), (80.0, 99.0)])
        >>> assign_slots([right, left], (100, 100), per_side=2)
        [3, 2]
    """
    crossings = [bottom_crossing(points, size[1]) for points in lanes]
    slots = [EXTRA] * len(lanes)
    middle = (size[0] - 1) / 2
    left = sorted((i for i, x in enumerate(crossings) if x < middle), key=lambda i: -crossings[i])
    right = sorted((i for i, x in enumerate(crossings) if x >= middle), key=lambda i: crossings[i])
    for rank, index in enumerate(left[:per_side]):
        slots[index] = per_side - rank
    for rank, index in enumerate(right[:per_side]):
        slots[index] = per_side + 1 + rank
    return slots


def draw_lanes(mask: np.ndarray, lanes: Sequence[np.ndarray], values: Sequence[int], width: int) -> np.ndarray:
    """Draw lanes into a mask in place and return it; lanes beyond the slots first, so that they hide no other.

    Args:
        mask: (H, W) uint8.
        lanes: (N, 2) x, y of each lane, in pixel-centre coordinates.
        values: the value of each lane.
        width: width of the lines in pixels.
    """
    for points, value in sorted(zip(lanes, values, strict=True), key=lambda lane: lane[1] != EXTRA):
        draw_line(mask, points, value, width)
    return mask


def read_lane_lines(root: Path) -> dict[Path, tuple[np.ndarray, ...]]:
    """Read the lane lines of a prepared dataset from its ``lanes.jsonl``.

    Args:
        root: the dataset's folder.

    Returns:
        For each picture, (N, 2) x, y of each lane line, in pixels of the prepared picture.

    Raises:
        InputError: the dataset has no ``lanes.jsonl``, or one that cannot be read.
    """
    path = root / "lanes.jsonl"
    if not path.is_file():
        raise InputError(
            f"{root}: has no lanes.jsonl, so its lane lines are not known; 'lanecli synth' writes one, and so does "
            "'lanecli prepare' for formats with lane lines"
        )
    base = pictures_folder(root)
    by_picture = {}
    for number, line in numbered_lines(path):
        where = f"{path} line {number}"
        try:
            entry = parse_json(line, where)
            lanes = [np.array(lane["points"], float).reshape(-1, 2) for lane in entry["lanes"]]
            by_picture[(base / safe_relative(entry["image"])).resolve()] = tuple(lanes)
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise InputError(f"{where}: holds no lane lines ({type(error).__name__}: {error})") from error
    return by_picture
