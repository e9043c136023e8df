"""TuSimple's lane benchmark: accuracy, FP and FN over a file of pictures, as its own program counts them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lanecli.errors import InputError
from lanecli.metrics.warnings import Warnings

TOLERANCE = 20.0
"""Largest error, in pixels, of a right point on an upright lane."""
FOUND = 0.85
"""Share of right rows from which a true lane counts as found."""
SLOWEST = 200
"""Most milliseconds a picture may take."""
_ABSENT = -100.0
_COUNTED = 4  # number of true lanes that suffices for a full score

DEFINITIONS = {
    "accuracy": "mean over pictures of: the shares of right rows of the true lanes' best predictions, summed and "
    "divided by the number of true lanes, at most 4 (the worst of more than 4 is left out)",
    "fp": "mean over pictures of (predictions - found true lanes) / predictions; found: 0.85 of its rows are right",
    "fn": "mean over pictures of missed true lanes / true lanes, counted as 4 at most",
}
"""Definition of each score. A row is right within 20 px across the lane, or if the lane is absent in both."""


class FormatError(ValueError):
    """Lanes at which the official program ends with "Format of lanes error."."""


def tolerance(xs: np.ndarray, rows: np.ndarray) -> float:
    """Return the largest error of a right point: 20 px across the lane, whose direction is a straight fit of x over y.

    Args:
        xs: (R,) float64, negative where the lane is absent.
        rows: (R,) float64.
    """
    seen = xs >= 0
    if seen.sum() < 2:
        return TOLERANCE
    y = rows[seen] - rows[seen].mean()
    spread = float(y @ y)
    slope = float(y @ (xs[seen] - xs[seen].mean())) / spread if spread else 0.0
    return TOLERANCE / float(np.cos(np.arctan(slope)))


def count_picture(
    predicted: Sequence[np.ndarray], truth: Sequence[np.ndarray], rows: np.ndarray, run_time: float = 0.0
) -> tuple[float, float, float]:
    """Return accuracy, FP and FN of one picture.

    Args:
        predicted: (R,) float64 x of each predicted lane in each row; negative (or NaN) where it is absent.
        truth: (R,) float64 x of each true lane in each row.
        rows: (R,) float64, the y of the rows.
        run_time: milliseconds; above `SLOWEST` the picture is lost.

    Raises:
        FormatError: a lane has another number of rows.
    """
    if any(len(lane) != len(rows) for lane in predicted):
        raise FormatError("a predicted lane has another length than h_samples")
    if run_time > SLOWEST or len(predicted) > len(truth) + 2:
        return 0.0, 0.0, 1.0
    if any(len(lane) != len(rows) for lane in truth):
        raise FormatError("a true lane has another length than h_samples")
    best = [0.0] * len(truth)
    if predicted and truth:
        limits = np.array([tolerance(lane, rows) for lane in truth])
        guesses = _absent(np.array(predicted))
        with np.errstate(invalid="ignore"):
            right = np.abs(guesses[None] - _absent(np.array(truth))[:, None]) < limits[:, None, None]
            best = (right.sum(2) / len(rows)).max(1).tolist()
    found = sum(not share < FOUND for share in best)
    missed = len(truth) - found
    total = sum(best)
    if len(truth) > _COUNTED:
        missed -= missed > 0
        total -= min(best)
    counted = max(min(len(truth), _COUNTED), 1)
    return total / counted, (len(predicted) - found) / len(predicted) if predicted else 0.0, missed / counted


def _absent(xs: np.ndarray) -> np.ndarray:
    return np.where(xs >= 0, xs, _ABSENT)


def score_files(truth: Path, prediction: Path, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Score a file of predictions.

    Args:
        truth: a file with one JSON object per line: raw_file, lanes, h_samples.
        prediction: a file with one JSON object per line: raw_file, lanes, run_time.
        progress: called with the number of finished pictures and their total.

    Returns:
        The scores of :data:`DEFINITIONS`, `pictures`, `per_image` and `warnings`.

    Raises:
        InputError: the official program refuses the predictions (the message quotes it), or the truth file is
            malformed.
    """
    answers = _lines(prediction, "Fail to load json file of the prediction.")
    pictures = _lines(truth, None)
    if not pictures:
        raise InputError(f"{truth}: holds no picture")
    if len(answers) != len(pictures):
        what = f"{len(answers)} lines for the {len(pictures)} of {truth}"
        raise _refused(prediction, what, "We do not get the predictions of all the test tasks")
    for number, picture in enumerate(pictures, 1):
        if not isinstance(picture, dict) or not {"raw_file", "lanes", "h_samples"} <= picture.keys():
            raise InputError(f"{truth}: line {number} lacks raw_file, lanes or h_samples")
        if not isinstance(picture["raw_file"], str):
            raise InputError(f"{truth}: line {number}: raw_file is not a string")
    known = {picture["raw_file"]: picture for picture in pictures}
    warnings = Warnings()
    if len(known) < len(pictures):
        warnings.add(
            "truth files with a picture given twice (both predictions count, but the mean counts the picture once)",
            str(truth),
        )
    sums = np.zeros(3)
    per_image: dict[str, dict[str, float]] = {}
    for number, answer in enumerate(answers, 1):
        where = f"line {number}"
        if not isinstance(answer, dict) or not {"raw_file", "lanes", "run_time"} <= answer.keys():
            raise _refused(prediction, where, "raw_file or lanes or run_time not in some predictions.")
        name = answer["raw_file"]
        if not isinstance(name, str) or name not in known:
            raise _refused(
                prediction, f"{where}, {name}", "Some raw_file from your predictions do not exist in the test tasks."
            )
        try:
            counts = _count(answer, known[name], warnings)
        except FormatError as error:
            raise _refused(prediction, f"{where}, {name}: {error}", "Format of lanes error.") from error
        if name in per_image:
            warnings.add("pictures predicted twice (both count)", name)
        sums += counts
        per_image[name] = dict(zip(DEFINITIONS, counts, strict=True))
        if progress:
            progress(number, len(answers))
    means = (sums / len(known)).tolist()
    return {
        **dict(zip(DEFINITIONS, means, strict=True)),
        "pictures": len(known),
        "per_image": per_image,
        "warnings": warnings.lines(),
    }


def _count(answer: dict[str, Any], picture: dict[str, Any], warnings: Warnings) -> tuple[float, float, float]:
    """Count one picture of the files, and note what the official program passes over in silence."""
    name, run_time = picture["raw_file"], answer["run_time"]
    rows = _numbers(picture["h_samples"], "h_samples")
    truth, predicted = _lanes(picture["lanes"]), _lanes(answer["lanes"])
    if not isinstance(run_time, int | float):
        raise FormatError("run_time is not a number")
    if run_time > SLOWEST:
        warnings.add(f"pictures that took more than {SLOWEST} ms (lost: FN 1, FP 0)", name)
    elif len(predicted) > len(truth) + 2:
        warnings.add("pictures with over two lanes more than the truth (lost: FN 1, FP 0)", name)
    if not truth:
        warnings.add("pictures without a true lane (accuracy 0, whatever is predicted)", name)
    counts = count_picture(predicted, truth, rows, run_time)
    if counts[1] < 0:
        warnings.add("pictures where one prediction serves several true lanes (FP is negative)", name)
    return counts


def _lanes(value: Any) -> list[np.ndarray]:
    if not isinstance(value, list):
        raise FormatError("lanes is not a list")
    return [_numbers(lane, "a lane") for lane in value]


def _numbers(value: Any, what: str) -> np.ndarray:
    if not isinstance(value, list) or not all(isinstance(v, int | float) for v in value):
        raise FormatError(f"{what} is not a list of numbers")
    return np.array(value, np.float64)


def _lines(path: Path, refusal: str | None) -> list[Any]:
    """Return one JSON value per line; like the official program, fail at a blank line too."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    values = []
    for number, line in enumerate(lines, 1):
        try:
            values.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            what = "is blank" if not line.strip() else f"is not JSON ({error})"
            if refusal is None:
                raise InputError(f"{path}: line {number} {what}") from error
            raise _refused(path, f"line {number} {what}", refusal) from error
    return values


def _refused(path: Path, what: str, sentence: str) -> InputError:
    return InputError(f'{path}: {what} (the official program ends with "{sentence}")')
