"""OpenLane's 2D score on files: CULane's way of counting, with categories, on JSON files of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from lanecli.geometry import Size
from lanecli.metrics.culane import (
    Result,
    note_files,
    note_lanes,
    note_outside,
    read_file,
    score_pooled,
)
from lanecli.metrics.lane_iou import count_matches, similarities
from lanecli.metrics.picture_list import PictureList, file_of, printable_entry
from lanecli.metrics.stdsort import order_by
from lanecli.metrics.warnings import Warnings

SIZE: Size = (1920, 1280)
WIDTH = 30
IOU = 0.3
_ENDING = ".json"


@dataclass(frozen=True)
class Settings:
    """How lanes are drawn, when two of them match, and whether their categories must agree."""

    width: int = WIDTH
    iou: float = IOU
    size: Size = SIZE
    categories: bool = True


def score_lists(
    truth: str,
    prediction: str,
    lists: Sequence[PictureList],
    settings: Settings,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Score lists of pictures; arguments and scores are those of :func:`lanecli.metrics.culane.score_lists`."""
    return score_pooled(truth, prediction, lists, partial(count_files, truth, prediction, settings), workers, progress)


def count_files(truth: str, prediction: str, settings: Settings, entries: Sequence[str]) -> list[Result]:
    """Return counts and oddities of some entries, from their files."""
    return [_count_entry(truth, prediction, settings, entry) for entry in entries]


def _count_entry(truth: str, prediction: str, settings: Settings, entry: str) -> Result:
    warnings = Warnings()
    sides = []
    for folder, kind in ((truth, "true"), (prediction, "predicted")):
        path = file_of(folder, entry, _ENDING)
        data = read_file(path)
        lanes, categories = parse_lanes(data or b"", path, warnings)
        note_lanes(lanes, kind, path, warnings)
        sides.append((data, lanes, categories))
    (true_data, true_lanes, true_categories), (data, lanes, categories) = sides
    note_files(true_data is None, data is None, entry, warnings)
    matrix = similarities(true_lanes, lanes, settings.width, settings.size)
    if settings.categories and matrix.size:
        matrix[np.array(true_categories)[:, None] != np.array(categories)[None]] = 0.0
    note_outside(matrix, printable_entry(entry), warnings)
    return count_matches(matrix, settings.iou), warnings


def parse_lanes(data: bytes, path: str, warnings: Warnings) -> tuple[list[np.ndarray], list[int]]:
    """Return lanes of two points or more, sorted by row, and their categories as 8-bit numbers.

    The official program silently takes anything it cannot read as no lanes.

    Args:
        data: contents of the file.
        path: its name, for warnings.
        warnings: receives what is odd.

    Returns:
        (N, 2) float32 x, y of each lane from top to bottom, and the categories, 0 … 255.
    """
    try:
        document = _read(data.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        if data:
            warnings.add("files that are not JSON (no lanes)", path)
        return [], []
    entries = document.get("lane_lines") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        warnings.add("files without lane_lines (no lanes)", path)
        return [], []
    lanes, categories = [], []
    for number, entry in enumerate(entries, 1):
        where = f"{path}, lane {number}"
        points = entry.get("uv") if isinstance(entry, dict) else None
        if not isinstance(points, list) or not points or not isinstance(points[0], list) or len(points[0]) < 2:
            warnings.add("lanes of under two points (skipped)", where)
            continue
        rows = points[1] if len(points) > 1 and isinstance(points[1], list) else []
        pairs = [(x, y) for x, y in zip(points[0], rows, strict=False) if _is_number(x) and _is_number(y)]
        category = entry.get("category")
        if len(pairs) < len(points[0]) or not _is_number(category):
            warnings.add(
                "lanes with a number missing (officially undefined; here the point is left out, or the category is 0)",
                where,
            )
        if len(pairs) < 2:
            continue
        with np.errstate(over="ignore"):
            lane = np.array(pairs, np.float64).astype(np.float32)
        lanes.append(lane[order_by(lane[:, 1].tolist())])
        categories.append(int(category) & 255 if _is_number(category) else 0)
    return lanes, categories


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _read(text: str) -> Any:
    """Read JSON as the official program's reader does.

    Text after the value is ignored, the first of two equal keys counts, and the case of keys does not matter.
    """
    decoder = json.JSONDecoder(object_pairs_hook=_first_of_each, parse_constant=_refuse)
    return decoder.raw_decode(text.lstrip(" \t\r\n"))[0]


def _first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key.lower(): value for key, value in reversed(pairs)}


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a JSON number")
