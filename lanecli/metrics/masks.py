"""Pixel metrics of folders of masks: the scores of `evaluate`, without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lanecli.errors import InputError
from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.media.pictures import read_color_mask, read_mask
from lanecli.metrics.pool import run_jobs
from lanecli.metrics.segmentation import ConfusionMatrix, LabelCounts
from lanecli.metrics.warnings import Warnings

Job = tuple[Path, Path]


def score_folders(
    truth: Path,
    prediction: Path,
    label_map: LabelMap,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Score masks against masks with the same paths in two folders.

    Args:
        truth: folder of PNG masks with the label map's source ids or colours.
        prediction: folder of predicted masks of the same form.
        label_map: how both are read; its background may be left out of the mean.
        workers: number of processes; see :func:`lanecli.metrics.pool.run_jobs`.
        progress: called with the number of finished pictures and their total.

    Returns:
        The scores of :data:`lanecli.metrics.segmentation.DEFINITIONS`, `n_images` and `warnings`.

    Raises:
        InputError: a prediction is missing, sizes differ, or an id is unknown.
    """
    warnings = Warnings()
    names = sorted(path.relative_to(truth).as_posix() for path in truth.rglob("*.png"))
    if not names:
        raise InputError(f"{truth}: holds no PNG mask")
    missing = [name for name in names if not (prediction / name).is_file()]
    if missing:
        raise InputError(f"{prediction / missing[0]}: is missing; in all, {len(missing)} masks have no prediction")
    for path in sorted(prediction.rglob("*.png")):
        if not (truth / path.relative_to(prediction)).is_file():
            warnings.add("predictions without a truth (ignored)", str(path))
    jobs = [(truth / name, prediction / name) for name in names]
    counts = _counts(label_map)
    for part in run_jobs(partial(_count_files, label_map), jobs, workers, progress):
        counts.counts += part
    return {**counts.scores(label_map), "n_images": len(jobs), "warnings": warnings.lines()}


def _counts(label_map: LabelMap) -> ConfusionMatrix | LabelCounts:
    return (LabelCounts if label_map.multilabel else ConfusionMatrix)(len(label_map.classes))


def _count_files(label_map: LabelMap, jobs: Sequence[Job]) -> list[np.ndarray]:
    tables = []
    read = read_color_mask if label_map.coding == "colors" else read_mask
    for truth, prediction in jobs:
        target, guess = (label_map.encode(read(path), str(path)) for path in (truth, prediction))
        if target.shape != guess.shape:
            sizes = [f"{mask.shape[1]}x{mask.shape[0]}" for mask in (guess, target)]
            raise InputError(f"{prediction}: is {sizes[0]}, but its truth is {sizes[1]}")
        if (guess[target != IGNORE_ID] == IGNORE_ID).any():
            raise InputError(f"{prediction}: a pixel is ignored where the truth is not; every such pixel needs a class")
        counts = _counts(label_map)
        if isinstance(counts, LabelCounts):
            counts.update(label_map.split_labels(guess)[None] == 1, label_map.split_labels(target)[None])
        else:
            counts.update(np.where(target == IGNORE_ID, np.uint8(0), guess), target)
        tables.append(counts.counts)
    return tables
