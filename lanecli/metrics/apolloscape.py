"""ApolloScape's score of lane mark segmentation, on pictures of source ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lanecli.errors import InputError
from lanecli.labelmaps.apolloscape import IGNORED, NOISE, OFFICIAL
from lanecli.media.pictures import read_mask
from lanecli.metrics.pool import run_jobs
from lanecli.metrics.warnings import Warnings

CLASSES: dict[str, int] = {**{name: value for name, value, _ in OFFICIAL}, "noise": NOISE, "ignored": IGNORED}
"""Ids by name, in the order of the official table."""
CATEGORIES: dict[str, tuple[int, ...]] = {
    "void": (0,),
    "dividing": (200, 204, 213, 209, 206, 207),
    "guiding": (201, 203, 211, 208),
    "stopping": (216, 217, 215),
    "chevron": (218, 219),
    "parking": (210, 232),
    "zebra": (214,),
    "thru/turn": (202, 220, 221, 222, 231, 224, 225, 226, 230, 228, 229, 233),
    "reduction": (205,),
    "attention": (212,),
    "no parking": (227,),
    "others": (223, 250),
    "ignored": (249, 255),
}
UNSCORED = (202, 206, 207, 208, 211, 212, 213, 215, 216, 218, 219, 223, 228, 229, 230, 231, 232, 233, NOISE, IGNORED)
"""Ids ignored in evaluation: they have no score of their own, and predictions on their pixels cost nothing."""

DEFINITIONS = {
    "mean_iou_classes": "mean IoU over the scored classes that occur (void is one), counts over all pictures first",
    "mean_iou_categories": "the same over the twelve categories",
}
"""Definition of each score."""


def pairs(truth: Path, prediction: Path, warnings: Warnings) -> list[tuple[str, Path, Path]]:
    """Return PNG files by their path below both folders.

    Raises:
        InputError: there is no truth, or a truth without a prediction, where the official program ends too.
    """
    names = sorted(path.relative_to(truth).as_posix() for path in truth.rglob("*.png"))
    if not names:
        raise InputError(f"{truth}: holds no PNG file")
    missing = next((name for name in names if not (prediction / name).is_file()), None)
    if missing:
        raise InputError(f"{prediction / missing}: is missing (the official program ends here)")
    for path in prediction.rglob("*.png"):
        if not (truth / path.relative_to(prediction)).is_file():
            warnings.add("predictions without a truth (ignored)", str(path))
    return [(name, truth / name, prediction / name) for name in names]


def score_folders(
    truth: Path, prediction: Path, workers: int | None = None, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Score a folder of predictions.

    Args:
        truth: the folder of truths, 8-bit PNG files of source ids.
        prediction: the folder of predictions with the same paths.
        workers: number of processes; see :func:`lanecli.metrics.pool.run_jobs`.
        progress: called with the number of finished pictures and their total.

    Returns:
        The scores of :data:`DEFINITIONS`, `iou_class`, `iou_category` (None where undefined), `confusion_gt_pred`
        ("truth,prediction": pixels) and `warnings`.

    Raises:
        InputError: a truth id is not a label, sizes differ, or a picture is in colour.
    """
    warnings = Warnings()
    jobs = pairs(truth, prediction, warnings)
    table = np.zeros((256, 256), np.int64)
    for counts in run_jobs(_count_files, jobs, workers, progress):
        table[counts[0], counts[1]] += counts[2]
    unknown = np.setdiff1d(np.flatnonzero(table.sum(0)), list(CLASSES.values()))
    if len(unknown):
        where = ", ".join(map(str, unknown))
        warnings.add(
            "predicted ids that are not labels (each pixel is a miss, never a false positive)", where, len(unknown)
        )
    return {**scores(table), "warnings": warnings.lines()}


def scores(table: np.ndarray) -> dict[str, Any]:
    """Return scores from a confusion matrix of source ids.

    Args:
        table: (256, 256) int64, pixels by true id and predicted id.
    """
    by_class = {name: _iou(table, (value,)) for name, value in CLASSES.items()}
    by_category = {name: _iou(table, ids) for name, ids in CATEGORIES.items()}
    kinds = np.argwhere(table)
    return {
        "mean_iou_classes": _mean(by_class.values()),
        "mean_iou_categories": _mean(by_category.values()),
        "iou_class": by_class,
        "iou_category": by_category,
        "confusion_gt_pred": {f"{true},{guess}": int(table[true, guess]) for true, guess in kinds.tolist()},
    }


def _iou(table: np.ndarray, ids: Sequence[int]) -> float | None:
    """Return the IoU of some ids taken as one; None if none of them is scored or occurs.

    Predictions on pixels whose truth is ignored are not false positives.
    """
    scored = [value for value in ids if value not in UNSCORED]
    if not scored:
        return None
    others = [value for value in CLASSES.values() if value not in UNSCORED and value not in scored]
    hits = int(table[np.ix_(scored, scored)].sum())
    missed = int(table[scored].sum()) - hits
    invented = int(table[np.ix_(others, scored)].sum())
    total = hits + missed + invented
    return hits / total if total else None


def _mean(values: Any) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None


def _count_files(jobs: Sequence[tuple[str, Path, Path]]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return for each picture the true ids, the predicted ids, and how many pixels have both."""
    counts = []
    known = np.zeros(256, bool)
    known[list(CLASSES.values())] = True
    for _, truth, prediction in jobs:
        true, guess = read_mask(truth), read_mask(prediction)
        if true.shape != guess.shape:
            raise InputError(
                f"{prediction}: is {guess.shape[1]}x{guess.shape[0]}, but its truth is {true.shape[1]}x{true.shape[0]}"
            )
        codes = np.bincount((true.astype(np.uint16) << 8 | guess).ravel(), minlength=1 << 16)
        kinds = np.flatnonzero(codes)
        strange = kinds[~known[kinds >> 8]]
        if len(strange):
            raise InputError(f"{truth}: {strange[0] >> 8} is not an ApolloScape id")
        counts.append((kinds >> 8, kinds & 255, codes[kinds]))
    return counts
