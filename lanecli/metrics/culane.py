"""CULane's F1 on files: every count is that of its authors' program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from lanecli.geometry import Size
from lanecli.metrics.lane_iou import LaneCounts, count_matches, similarities
from lanecli.metrics.lane_text import parse_lanes
from lanecli.metrics.picture_list import PictureList, check_folder, file_of, printable_entry
from lanecli.metrics.pool import run_jobs
from lanecli.metrics.warnings import Warnings

SIZE: Size = (1640, 590)
WIDTH = 30
IOU = 0.5
_ENDING = ".lines.txt"
_WIDEST = 2.0**31

NOTHING = "entries without a file on either side (not counted)"
NO_TRUTH = "pictures without a truth file (every prediction is an FP)"
NO_PREDICTION = "pictures without a prediction file (every true lane is an FN)"


@dataclass(frozen=True)
class Settings:
    """How lanes are drawn, and when two of them match."""

    width: int = WIDTH
    iou: float = IOU
    size: Size = SIZE


Result = tuple[LaneCounts, Warnings]


def score_lists(
    truth: str,
    prediction: str,
    lists: Sequence[PictureList],
    settings: Settings,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Score lists of pictures, such as CULane's nine.

    Args:
        truth: the folder of truth files; a string, because entries are appended to it as text.
        prediction: the folder of predictions.
        lists: the lists to score.
        settings: the defaults are CULane's own.
        workers: number of processes; see :func:`lanecli.metrics.pool.run_jobs`.
        progress: called with the number of finished pictures and their total.

    Returns:
        The scores of :class:`LaneCounts` over all lists together, those of each list in `lists`, and `warnings`.

    Raises:
        InputError: a folder does not exist.
    """
    count = partial(count_files, truth, prediction, settings)
    return score_pooled(truth, prediction, lists, count, workers, progress)


def score_pooled(
    truth: str,
    prediction: str,
    lists: Sequence[PictureList],
    count: Callable[[Sequence[str]], list[Result]],
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> dict[str, Any]:
    """Count every entry once and sum over each list; see :func:`score_lists`."""
    check_folder(truth)
    check_folder(prediction)
    entries = list(dict.fromkeys(entry for chosen in lists for entry in chosen.entries))
    results = dict(zip(entries, run_jobs(count, entries, workers, progress), strict=True))
    total, warnings, parts = LaneCounts(), Warnings(), {}
    for chosen in lists:
        counts = LaneCounts()
        for entry in chosen.entries:
            counts += results[entry][0]
            warnings.merge(results[entry][1])
        total += counts
        parts[chosen.name] = {**counts.scores(), "pictures": len(chosen.entries)}
    pictures = sum(len(chosen.entries) for chosen in lists)
    return {**total.scores(), "pictures": pictures, "lists": parts, "warnings": warnings.lines()}


def count_files(truth: str, prediction: str, settings: Settings, entries: Sequence[str]) -> list[Result]:
    """Return counts and oddities of some entries, from their files."""
    return [_count_entry(truth, prediction, settings, entry) for entry in entries]


def _count_entry(truth: str, prediction: str, settings: Settings, entry: str) -> Result:
    warnings = Warnings()
    sides = []
    for folder, kind in ((truth, "true"), (prediction, "predicted")):
        path = file_of(folder, entry, _ENDING)
        data = read_file(path)
        lanes, cut = parse_lanes(data or b"")
        for number in cut:
            warnings.add(
                "lines that are not read to their end, because of a word or an odd number", f"{path}, line {number}"
            )
        note_lanes(lanes, kind, path, warnings)
        sides.append((data, lanes))
    (true_data, true_lanes), (data, lanes) = sides
    note_files(true_data is None, data is None, entry, warnings)
    matrix = similarities(true_lanes, lanes, settings.width, settings.size)
    note_outside(matrix, entry, warnings)
    return count_matches(matrix, settings.iou), warnings


def read_file(path: str) -> bytes | None:
    """Return the contents of a file, or None if it does not exist; the official programs read that as no lanes."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError):
        return None


def note_files(no_truth: bool, no_prediction: bool, entry: str, warnings: Warnings) -> None:
    """Note files that do not exist."""
    if no_truth and no_prediction:
        warnings.add(NOTHING, printable_entry(entry))
    elif no_truth or no_prediction:
        warnings.add(NO_TRUTH if no_truth else NO_PREDICTION, printable_entry(entry))


def note_lanes(lanes: Sequence[np.ndarray], kind: str, path: str, warnings: Warnings) -> None:
    """Note lanes that the official program counts in an unexpected way."""
    for number, lane in enumerate(lanes, 1):
        where = f"{path}, lane {number}"
        if len(lane) < 2:
            error = "FN" if kind == "true" else "FP"
            warnings.add(f"{kind} lanes of under two points, such as blank lines (each is an {error})", where)
        elif len(lane) > 2 and (lane[1:] == lane[:-1]).all(1).any():
            warnings.add(
                "lanes with a point given twice in a row (the official spline is NaN; a disc at the end remains)",
                where,
            )
        if len(lane) and not (np.abs(lane) < _WIDEST).all():
            warnings.add("lanes with coordinates beyond 32 bits (counted as on an x86-64 processor)", where)


def note_outside(matrix: np.ndarray, entry: str, warnings: Warnings) -> None:
    """Note pairs whose IoU is 0/0."""
    pairs = int(np.isnan(matrix).sum())
    if pairs:
        warnings.add("pairs of lanes outside the picture (IoU 0/0; they never match)", printable_entry(entry), pairs)
