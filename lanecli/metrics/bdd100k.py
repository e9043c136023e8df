"""BDD100K's two scores of pictures: lane marks by F at 1, 2 and 5 pixels, drivable areas by IoU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lanecli.errors import InputError
from lanecli.labelmaps.bdd100k import CATEGORIES
from lanecli.media.pictures import read_mask
from lanecli.metrics.pool import run_jobs
from lanecli.metrics.warnings import Warnings

RADII = (1, 2, 5)
TASKS: dict[str, tuple[str, ...]] = {
    "direction": ("parallel", "vertical"),
    "style": ("solid", "dashed"),
    "category": tuple(name for name, _ in CATEGORIES),
}
_SHIFTS = {"direction": (5, 1), "style": (4, 1), "category": (0, 7)}  # shift of the byte, then its mask
_BACKGROUND = 8  # this bit means that a pixel is not a mark, whatever the other bits say
DRIVABLE = ("direct", "alternative")
_CLASSES = sum(len(names) for names in TASKS.values())

DEFINITIONS = {
    "F1_pix1": "mean over direction, style and category of the F of their classes at 1 px, mean over pictures, in %",
    "F1_pix2": "the same at 2 px",
    "F1_pix5": "the same at 5 px",
    "mIoU": "mean IoU of direct and alternative drivable area, if they are in the truth, in %; background left out",
}
"""Definition of each score."""

Job = tuple[str, Path, Path | None]


def pairs(truth: Path, prediction: Path, warnings: Warnings, without: str) -> list[Job]:
    """Return PNG files below both folders by name, in the truth's order; None for a missing prediction.

    Args:
        truth: the folder of truths.
        prediction: the folder of predictions.
        warnings: receives what is missing or left over.
        without: how a missing prediction is counted.

    Raises:
        InputError: there is no truth, or a folder has two files of one name.
    """
    files_by_folder = []
    for folder in (truth, prediction):
        files: dict[str, Path] = {}
        for path in sorted(folder.rglob("*.png")):
            if files.setdefault(path.name, path) != path:
                raise InputError(f"{folder}: holds {path.name} twice")
        files_by_folder.append(files)
    truths, predictions = files_by_folder
    if not truths:
        raise InputError(f"{truth}: holds no PNG file")
    for name in truths.keys() - predictions.keys():
        warnings.add(f"pictures without a prediction ({without})", name)
    for name in predictions.keys() - truths.keys():
        warnings.add("predictions without a truth (ignored)", name)
    return [(name, path, predictions.get(name)) for name, path in truths.items()]


def task_of(truth: Path) -> str:
    """Return a folder's kind of labels, ``"lane"`` or ``"drivable"``: by its name, else by its pictures' values."""
    for part in reversed(truth.resolve().parts):
        for task in ("lane", "drivable"):
            if task in part.lower():
                return task
    for path in sorted(truth.rglob("*.png")):
        if np.setdiff1d(np.unique(read_mask(path)), [*range(len(DRIVABLE) + 1), 255]).size:
            return "lane"
    return "drivable"


def score_lanes(
    truth: Path, prediction: Path, workers: int | None = None, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Score lane marks.

    Args:
        truth: the folder of truths, PNG bit fields.
        prediction: the folder of predictions with the same names.
        workers: number of processes; see :func:`lanecli.metrics.pool.run_jobs`.
        progress: called with the number of finished pictures and their total.

    Returns:
        `summary`, `by_category` (percent), `per_image` (0 … 1, at the three radii) and `warnings`.
    """
    warnings = Warnings()
    jobs = pairs(truth, prediction, warnings, "officially every pixel is read as a solid, parallel crosswalk")
    per_picture = np.array(run_jobs(_count_lane_files, jobs, workers, progress))
    means = per_picture.mean(0) * 100  # (classes, radii)
    ends = np.cumsum([len(names) for names in TASKS.values()])[:-1]
    # along the first axis, as the official program does: NumPy adds in another order along the last one
    task_means = np.stack([part.mean(0) for part in np.split(means, ends)])
    averages = task_means.mean(0).tolist()
    summary: dict[str, float] = {}
    by_category: dict[str, dict[str, dict[str, float]]] = {}
    for column, radius in enumerate(RADII):
        key = f"F1_pix{radius}"
        summary |= {f"{key}/{task.upper()}": float(v) for task, v in zip(TASKS, task_means[:, column], strict=True)}
        summary[key] = averages[column]
        by_category[key] = _by_task(means[:, column].tolist())
    per_image = {name: _by_task(values.tolist()) for (name, _, _), values in zip(jobs, per_picture, strict=True)}
    empty = [name for name, best in zip(_names(), (per_picture == 1).all((0, 2)), strict=True) if best]
    if empty:
        warnings.add(
            "classes that score 100 and may occur in no picture (they raise the mean)", ", ".join(empty), len(empty)
        )
    return {"summary": summary, "by_category": by_category, "per_image": per_image, "warnings": warnings.lines()}


def _names() -> list[str]:
    return [name for names in TASKS.values() for name in names]


def _by_task(values: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Return the values of all classes by task and class."""
    rest = iter(values)
    return {task: {name: next(rest) for name in names} for task, names in TASKS.items()}


def _count_lane_files(jobs: Sequence[Job]) -> list[np.ndarray]:
    scores = []
    for _, truth, prediction in jobs:
        true = read_mask(truth)
        guess = np.zeros_like(true) if prediction is None else read_mask(prediction)
        if true.shape != guess.shape:
            raise InputError(f"{prediction}: is {_size(guess)}, but its truth is {_size(true)}")
        scores.append(lane_f_scores(guess, true))
    return scores


def lane_f_scores(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return F of each class at each radius.

    Args:
        predicted: (H, W) uint8 bit field.
        truth: (H, W) uint8 bit field.

    Returns:
        (12, 3) float64: 2 directions, 2 styles, 8 categories; at 1, 2 and 5 pixels. It is 1 if neither has a pixel of
        the class, 0 if only one has.
    """
    mine, theirs = _memberships(predicted), _memberships(truth)
    own, true = _bit_counts(mine), _bit_counts(theirs)
    scores = np.empty((_CLASSES, len(RADII)))
    for column, radius in enumerate(RADII):
        near_truth = _bit_counts(mine & _dilate(theirs, radius))
        near_own = _bit_counts(theirs & _dilate(mine, radius))
        for number in range(_CLASSES):
            if not own[number] or not true[number]:
                scores[number, column] = float(own[number] == true[number])
                continue
            precision, recall = near_truth[number] / own[number], near_own[number] / true[number]
            total = precision + recall
            scores[number, column] = 2.0 * precision * recall / total if total else 0.0
    return scores


def _memberships(field: np.ndarray) -> np.ndarray:
    """Return (H, W) uint16 in which bit i is set where a pixel is of class i, of the twelve in the order of `TASKS`."""
    return _class_bits()[field]


@lru_cache(maxsize=1)
def _class_bits() -> np.ndarray:
    bits = np.zeros(256, np.uint16)
    for byte in range(256):
        first = 0
        for task, names in TASKS.items():
            shift, mask = _SHIFTS[task]
            if not byte & _BACKGROUND:
                bits[byte] |= 1 << first + (byte >> shift & mask)
            first += len(names)
    return bits


def _bit_counts(memberships: np.ndarray) -> list[int]:
    """Return the number of pixels of each class."""
    counts = np.bincount(memberships.ravel(), minlength=1 << _CLASSES)
    kinds = np.flatnonzero(counts)
    return [int(counts[kinds[kinds >> i & 1 == 1]].sum()) for i in range(_CLASSES)]


def _dilate(memberships: np.ndarray, radius: int) -> np.ndarray:
    """Dilate all classes at once by a disc of ``x² + y² <= radius²``; outside the picture there is nothing."""
    height, width = memberships.shape
    wide = memberships
    result = np.zeros_like(memberships)
    reached = 0
    # rows from the disc's ends, where it is narrow, to its middle
    for dy in range(radius, -1, -1):
        half = int((radius * radius - dy * dy) ** 0.5)
        if half > reached:
            wide = wide.copy() if wide is memberships else wide
            for dx in range(reached + 1, half + 1):
                if dx < width:
                    wide[:, dx:] |= memberships[:, :-dx]
                    wide[:, :-dx] |= memberships[:, dx:]
            reached = half
        if dy < height:
            result[dy:] |= wide[: height - dy]
            result[: height - dy] |= wide[dy:]
    return result


def score_drivable(
    truth: Path, prediction: Path, workers: int | None = None, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Score drivable areas: 0 direct, 1 alternative; everything else in the truth is ignored.

    Args:
        truth, prediction, workers, progress: see :func:`score_lanes`.

    Returns:
        `summary`, `IoU`, `Acc` as the official program prints them, in percent, None where undefined, and `warnings`.
        The official `Acc` is a precision.
    """
    warnings = Warnings()
    jobs = pairs(truth, prediction, warnings, "everything is missed")
    classes = len(DRIVABLE)
    total = np.zeros((classes + 1, classes + 1), np.int64)
    for counts in run_jobs(_count_drivable_files, jobs, workers, progress):
        total += counts
    hits, true, guessed = np.diag(total).astype(float), total.sum(1), total.sum(0)
    iou, accuracy = (_share(hits, bottom)[:classes] for bottom in (true + guessed - hits, guessed))
    present = true[:classes] > 0
    means = [float(values[present].mean() * 100) if present.any() else None for values in (iou, accuracy)]
    counted = total[:classes].sum()
    weighted = float((iou * true[:classes]).sum() / counted * 100) if counted else None
    pixels = float(hits[:classes].sum() / counted * 100) if counted else None
    by_class = [dict(zip(DRIVABLE, (values * 100).tolist(), strict=True)) for values in (iou, accuracy)]
    return {
        "summary": {"mIoU": means[0], "mAcc": means[1], "fIoU": weighted, "pAcc": pixels},
        "IoU": [by_class[0], {"AVERAGE": means[0]}],
        "Acc": [by_class[1], {"AVERAGE": means[1]}],
        "warnings": warnings.lines(),
    }


def _share(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def _count_drivable_files(jobs: Sequence[Job]) -> list[np.ndarray]:
    tables = []
    ignored = len(DRIVABLE)
    for _, truth, prediction in jobs:
        true = read_mask(truth)
        guess = np.full_like(true, ignored) if prediction is None else read_mask(prediction)
        if true.shape != guess.shape:
            raise InputError(f"{prediction}: is {_size(guess)}, but its truth is {_size(true)}")
        counted = true < ignored
        codes = true[counted].astype(np.int64) * (ignored + 1) + np.minimum(guess[counted], ignored)
        tables.append(np.bincount(codes, minlength=(ignored + 1) ** 2).reshape(ignored + 1, ignored + 1))
    return tables


def _size(mask: np.ndarray) -> str:
    return f"{mask.shape[1]}x{mask.shape[0]}"
