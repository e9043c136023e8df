"""LLAMAS' segmentation score: precision over recall at 101 thresholds for each line's pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lanecli.errors import InputError
from lanecli.media.pictures import read_mask
from lanecli.metrics.llamas import label_files
from lanecli.metrics.llamas_labels import LINES
from lanecli.metrics.pool import run_jobs

_STEPS = 100
_LEVELS = 256
_CLASSES = len(LINES) + 1

Curve = dict[str, float]
Job = tuple[str, Path]


def score_segmentation(
    labels: Path,
    prediction: Path,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Score class probabilities stored as pictures.

    Args:
        labels: the folder of label files, which name the pictures to score.
        prediction: the folder of ``<run>/<label>.json_<class>.png``, probabilities times 255: 0 none, 1 l1, 2 l0, 3 r0,
            4 r1; and of ``<label>.json_target.png`` beside them, the true classes.
        workers: number of processes; see :func:`lanecli.metrics.pool.run_jobs`.
        progress: called with the number of finished pictures and their total.

    Returns:
        `multi`: for each class the means over pictures of `recall`, `precision`, `threshold` and `auc`, and
        `per_image_multi`.

    Raises:
        InputError: a picture is missing or has another size.
    """
    names = list(label_files(labels))
    curves = run_jobs(_count_files, [(name, prediction / name) for name in names], workers, progress)
    per_image = dict(zip(names, curves, strict=True))
    multi = {
        str(number): {key: sum(entry[str(number)][key] for entry in curves) / len(curves) for key in curves[0]["0"]}
        for number in range(_CLASSES)
    }
    return {"multi": multi, "per_image_multi": per_image}


def _count_files(jobs: Sequence[Job]) -> list[dict[str, Curve]]:
    curves_of_picture = []
    for _, base in jobs:
        target = read_mask(f"{base}_target.png")
        curves = {}
        for number in range(_CLASSES):
            levels = read_mask(f"{base}_{number}.png")
            if levels.shape != target.shape:
                raise InputError(f"{base}_{number}.png: has another size than its target")
            curves[str(number)] = curve(levels, target == number)
        curves_of_picture.append(curves)
    return curves_of_picture


def curve(levels: np.ndarray, truth: np.ndarray) -> Curve:
    """Return the area under precision over recall, and the threshold with their largest product.

    Thresholds go from 1 to 0 in hundredths; a pixel is positive if it is at least the threshold. Each step of recall is
    weighted by the precision *before* it.

    Args:
        levels: uint8, probability times 255.
        truth: bool of the same shape.
    """
    hits = np.bincount(levels[truth], minlength=_LEVELS)[::-1].cumsum()[::-1]
    positives = np.bincount(levels.ravel(), minlength=_LEVELS)[::-1].cumsum()[::-1]
    probabilities = np.arange(_LEVELS) / 255
    pixels = int(truth.sum())
    best: Curve = {"recall": 0.0, "precision": 0.0, "threshold": 0.0, "auc": 0.0}
    area, last_precision, last_recall, largest = 0.0, 1.0, 0.0, 0.0
    for step in range(_STEPS + 1):
        threshold = (_STEPS - step) / _STEPS
        level = int(np.searchsorted(probabilities, threshold))
        precision = float(hits[level] / positives[level]) if positives[level] else 0.0
        recall = float(hits[level] / pixels) if pixels else 0.0
        if precision * recall > largest:
            largest = precision * recall
            best |= {"recall": recall, "precision": precision, "threshold": threshold}
        area += (recall - last_recall) * last_precision
        last_precision, last_recall = precision, recall
    return {**best, "auc": area}
