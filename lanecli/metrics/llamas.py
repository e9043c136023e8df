"""LLAMAS' two scores of lane lines: CULane's metric in its own way, and the mean distance of regressed lines."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lanecli.errors import InputError
from lanecli.metrics.bspline import interpolate
from lanecli.metrics.lane_iou import LaneCounts, pen
from lanecli.metrics.llamas_labels import ABSENT, LINES, SIZE, read_x_values
from lanecli.metrics.matching import exact_matching
from lanecli.metrics.pool import run_jobs

WIDTH = 30
IOU = 0.5
FIRST_ROW = 300
"""Lines are scored from this row down."""
_SAMPLES = 50
_NO_INTEGER = -(1 << 31)

DEFINITIONS = {
    "F1": "F1 of lane lines drawn 30 px thick, matched exactly, found if their IoU is above 0.5; 0 if TP is 0",
    "mean": "mean over lines and pictures of the mean |dx| in pixels over rows 300 to 716 (regression)",
    "auc": "area under precision over recall at 101 thresholds, mean over pictures (segmentation)",
}
"""Definition of each score."""


def label_files(folder: Path) -> dict[str, Path]:
    """Return label files below a folder by their folder's name and their own, sorted by path.

    Raises:
        InputError: there is none.
    """
    labels = {f"{path.parent.name}/{path.name}": path for path in sorted(folder.rglob("*.json"))}
    if not labels:
        raise InputError(f"{folder}: holds no label (*.json)")
    return labels


def score_lines(
    labels: Path,
    prediction: Path,
    width: int = WIDTH,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Score lane lines by CULane's metric as LLAMAS counts it.

    Args:
        labels: the folder of label files.
        prediction: the folder of ``<run>/<picture>.lines.txt``, one line of x y x y … for each lane.
        width: thickness of the drawn lines in pixels.
        workers: number of processes; see :func:`lanecli.metrics.pool.run_jobs`.
        progress: called with the number of finished pictures and their total.

    Returns:
        `TP`, `FP`, `FN`, `Precision`, `Recall`, `F1` and `per_image`.

    Raises:
        InputError: what the official program stops at: a missing file, an odd number of values, a word, a lane that is
            one point given twice.
    """
    jobs = [
        (name, path, prediction / f"{name.removesuffix('.json')}.lines.txt")
        for name, path in label_files(labels).items()
    ]
    results = run_jobs(partial(_count_files, width), jobs, workers, progress)
    per_image = {
        name: {"gt": c.tp + c.fn, "pred": c.tp + c.fp, "tp": c.tp, "fp": c.fp, "fn": c.fn}
        for (name, _, _), c in zip(jobs, results, strict=True)
    }
    total = sum(results, LaneCounts())
    return {**official_scores(total), "per_image": per_image}


def official_scores(counts: LaneCounts) -> dict[str, Any]:
    """Return the official program's names and values; all ratios are 0 if nothing was found."""
    precision = counts.tp / (counts.tp + counts.fp) if counts.tp else 0.0
    recall = counts.tp / (counts.tp + counts.fn) if counts.tp else 0.0
    f1 = 2 * precision * recall / (precision + recall) if counts.tp else 0.0
    return {"TP": counts.tp, "FP": counts.fp, "FN": counts.fn, "Precision": precision, "Recall": recall, "F1": f1}


def _count_files(width: int, jobs: Sequence[tuple[str, Path, Path]]) -> list[LaneCounts]:
    return [count_picture(read_lines(lines), read_truth(label), width) for _, label, lines in jobs]


def read_truth(path: Path) -> list[np.ndarray]:
    """Return the true lanes: (N, 2) float64 x, y in rows 300 to 716 of each line with two rows anywhere.

    Raises:
        InputError: a line has two rows or more, but fewer than two at row 300 or below it.
    """
    lanes = []
    for name, values in read_x_values(path).items():
        xs = np.array(values)
        if (xs >= 0).sum() < 2:
            continue
        rows = np.flatnonzero(xs >= 0)
        rows = rows[rows >= FIRST_ROW]
        if len(rows) < 2:
            raise InputError(
                f"{path}: line {name} has fewer than two rows from {FIRST_ROW} down (the official program stops)"
            )
        lanes.append(np.stack([xs[rows], rows.astype(float)], 1))
    return lanes


def read_lines(path: Path) -> list[list[tuple[float, float]]]:
    """Return the predicted lanes of two points or more, without points equal to the one before them.

    Raises:
        InputError: the file is missing or malformed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: the prediction cannot be read ({error}); LLAMAS needs one for every label"
        ) from error
    lanes = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            values = [float(word) for word in line.split()]
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {error} (the official program stops)") from error
        if len(values) % 2:
            raise InputError(f"{path}, line {number}: an odd number of values (the official program stops)")
        points = list(zip(values[::2], values[1::2], strict=True))
        if len(points) < 2:
            continue
        kept = [point for i, point in enumerate(points) if i == 0 or point != points[i - 1]]
        if len(kept) < 2:
            raise InputError(f"{path}, line {number}: a lane of one point given twice (the official program stops)")
        lanes.append(kept)
    return lanes


def count_picture(
    predicted: Sequence[Sequence[tuple[float, float]]], truth: Sequence[np.ndarray], width: int = WIDTH
) -> LaneCounts:
    """Count one picture.

    Args:
        predicted: points x, y of each lane, two or more, without equal neighbours.
        truth: (N, 2) float64 x, y of each lane, drawn as they are.
        width: thickness of the drawn lines in pixels.
    """
    if not predicted or not truth:
        return LaneCounts(0, len(predicted), len(truth))
    draw = pen(width, SIZE).draw
    mine = [draw(_truncated(interpolate(lane, _SAMPLES))) for lane in predicted]
    theirs = [draw(_truncated(lane)) for lane in truth]
    overlaps = [[a.iou(b) for b in theirs] for a in mine]
    if any(value != value for row in overlaps for value in row):
        raise InputError("two lanes entirely outside the picture have no IoU (the official program stops)")
    pairs = exact_matching([[1 - value for value in row] for row in overlaps])
    hits = sum(overlaps[i][j] > IOU for i, j in pairs)
    return LaneCounts(hits, len(predicted) - hits, len(truth) - hits)


def _truncated(points: np.ndarray) -> np.ndarray:
    """Round to whole pixels toward zero; what 32 bits cannot hold becomes -2147483648, as on an x86-64 processor."""
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(points) < -_NO_INTEGER, np.trunc(points), _NO_INTEGER).astype(np.int64)


def score_regression(labels: Path, prediction: Path) -> dict[str, Any]:
    """Score regressed lines by their mean distance from the true ones.

    Args:
        labels: the folder of label files.
        prediction: a JSON file with l1, l0, r0 and r1 for each label: 717 x values each, or the 417 from row 300 down.

    Returns:
        `mean`, `l1`, `l0`, `r0`, `r1` (None without such a line) and `per_image`.

    Raises:
        InputError: a picture or a line is missing, or a line has another length, or NaN where the truth has a value.
    """
    try:
        document = json.loads(prediction.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{prediction}: cannot be read as JSON ({error})") from error
    per_image: dict[str, dict[str, float | None]] = {}
    for name, path in label_files(labels).items():
        lines = document.get(name) if isinstance(document, dict) else None
        if not isinstance(lines, dict) or not lines.keys() >= set(LINES):
            raise InputError(f"{prediction}: does not have {name}, or not all of its lines {', '.join(LINES)}")
        truth = read_x_values(path)
        per_image[name] = {key: _distance(truth[key], lines[key], f"{prediction}, {name}, {key}") for key in LINES}
    by_line = {key: [entry[key] for entry in per_image.values()] for key in LINES}
    together = [value for values in by_line.values() for value in values]
    return {"mean": _mean(together), **{key: _mean(values) for key, values in by_line.items()}, "per_image": per_image}


def _distance(truth: list[float], values: Any, where: str) -> float | None:
    """Return the mean |dx| over the rows from 300 down where the truth is not -1; None if it is -1 in all of them."""
    try:
        predicted = np.array(values, np.float64)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: is not a list of numbers") from error
    if predicted.shape not in ((SIZE[1],), (SIZE[1] - FIRST_ROW,)):
        raise InputError(f"{where}: is not a list of {SIZE[1]} or {SIZE[1] - FIRST_ROW} numbers")
    true = np.array(truth[FIRST_ROW:])
    counted = true != ABSENT
    differences = np.abs(true - predicted[-len(true) :])[counted]
    if np.isnan(differences).any():
        raise InputError(f"{where}: NaN where the truth has a value (the official program stops)")
    return float(differences.mean()) if counted.any() else None


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return math.fsum(present) / len(present) if present else None
