"""Reads LLAMAS' label files as its own reader does: an x in each row for the four lines nearest to the car."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lanecli.errors import InputError
from lanecli.geometry import Size

SIZE: Size = (1276, 717)
LINES = ("l1", "l0", "r0", "r1")
ABSENT = -1.0
_LOWEST_HEIGHT = 20  # least number of rows between the starts of a line's markers
_LOWEST_ROW = SIZE[1] - 1


@dataclass(frozen=True)
class Marker:
    """One dash: where it starts (near the car) and ends in the picture, and in the world."""

    start: tuple[int, int]
    stop: tuple[int, int]
    world_start: tuple[float, float, float]
    world_stop: tuple[float, float, float]


@dataclass(frozen=True)
class Label:
    """The lines of a picture by their names after renumbering, in the file's order, and the camera's matrix."""

    lines: tuple[tuple[str, tuple[Marker, ...]], ...]
    projection: tuple[tuple[float, ...], ...]


def read_label(path: Path) -> Label:
    """Read a label file.

    Lines that span under 20 rows or have one marker are left out, and the others are renumbered from the car outwards.

    Raises:
        InputError: it is not a LLAMAS label.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        lines = [(lane["lane_id"], [_marker(marker) for marker in lane["markers"]]) for lane in document["lanes"]]
        projection = tuple(tuple(float(v) for v in row) for row in document["projection_matrix"])
        kept = [(name, markers) for name, markers in lines if _height(markers) >= _LOWEST_HEIGHT and len(markers) > 1]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a LLAMAS label ({type(error).__name__}: {error})") from error
    names: dict[str, str] = {}
    for side in "lr":
        for number, name in enumerate(sorted(name for name, _ in kept if name[:1] == side)):
            names[name] = f"{side}{number}"
    if any(name not in names for name, _ in kept):
        raise InputError(f"{path}: a lane_id begins with neither l nor r")
    return Label(tuple((names[name], tuple(markers)) for name, markers in kept), projection)


def _marker(entry: dict[str, Any]) -> Marker:
    def pixel(key: str) -> tuple[int, int]:
        return int(entry[key]["x"]), int(entry[key]["y"])

    def world(key: str) -> tuple[float, float, float]:
        return float(entry[key]["x"]), float(entry[key]["y"]), float(entry[key]["z"])

    return Marker(pixel("pixel_start"), pixel("pixel_end"), world("world_start"), world("world_end"))


def _height(markers: list[Marker]) -> int:
    rows = [marker.start[1] for marker in markers]
    return max(rows) - min(rows)


def read_x_values(path: Path) -> dict[str, list[float]]:
    """Return x of l1, l0, r0 and r1 in each of the 717 rows, -1 where a line is absent.

    The nearest marker is extended to the border of the picture, and gaps between markers are filled with straight
    lines.

    Raises:
        InputError: it is not a LLAMAS label, or one that LLAMAS' own reader stops at.
    """
    xs_of_line = {name: [ABSENT] * SIZE[1] for name in LINES}
    for name, markers in read_label(path).lines:
        if name in xs_of_line:
            try:
                xs_of_line[name] = _fill_gaps(_rows(_extended(markers)))
            except (ValueError, IndexError) as error:
                raise InputError(f"{path}: line {name} lies outside the picture or has only level markers") from error
    return xs_of_line


def _extended(markers: tuple[Marker, ...]) -> tuple[Marker, ...]:
    """Return the markers after one from the nearest marker's start to the bottom or side of the picture."""
    slanted = [m for m in markers if m.start[0] != m.stop[0] and m.start[1] != m.stop[1]]
    nearest = min(slanted, key=lambda marker: marker.world_start[2])
    if nearest.world_start[2] < 0:
        return markers
    (x, y), (x_stop, y_stop) = nearest.start, nearest.stop
    foot = x + (_LOWEST_ROW - y) * ((x_stop - x) / (y_stop - y))
    rise = (y_stop - y) / (x_stop - x)
    if foot < 0:
        start = 0.0, y - x * rise
    elif foot > SIZE[0]:
        start = float(SIZE[0]), y + (SIZE[0] - x) * rise
    else:
        start = foot, float(_LOWEST_ROW)
    return (Marker((round(start[0]), round(start[1])), nearest.start, (0, 0, 1), nearest.world_start), *markers)


def _rows(markers: tuple[Marker, ...]) -> list[float]:
    """Return the mean x of all markers in each row; a marker of up to two rows gives only its start."""
    xs_in_row: list[list[int]] = [[] for _ in range(SIZE[1])]
    for marker in markers:
        (x, y), (x_stop, y_stop) = marker.start, marker.stop
        xs_in_row[y].append(x)
        height = y - y_stop
        if height > 2:
            slope = (x_stop - x) / height
            for i in range(height + 1):
                xs_in_row[y - i].append(round(x + slope * i))
    return [sum(xs) / len(xs) if xs else ABSENT for xs in xs_in_row]


def _fill_gaps(xs: list[float]) -> list[float]:
    """Fill straight lines between the rows that have an x; nothing before the first and after the last."""
    xs = list(xs)
    y = next(row for row, x in enumerate(xs) if x != ABSENT)
    following = 0
    while y < len(xs):
        if xs[y] == ABSENT:
            following = max(following, y + 1)
            while following < len(xs) and xs[following] == ABSENT:
                following += 1
            if following == len(xs):
                break
            xs[y] = xs[y - 1] + (xs[following] - xs[y - 1]) / (following - y + 1)
        y += 1
    return xs
