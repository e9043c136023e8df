"""The registry of official scores: what `lanecli score` offers and `lanecli list metrics` explains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lanecli.registry import Registry

SCORES: Registry[Callable[..., dict[str, Any]]] = Registry("score")
_HERE = "lanecli.metrics"
SCORES.add(
    "tusimple",
    f"{_HERE}.tusimple:score_files",
    summary="accuracy: right rows (20 px across the lane) of the true lanes' best predictions; fp, fn: lanes invented "
    "and missed at 0.85; means over pictures",
)
SCORES.add(
    "culane",
    f"{_HERE}.culane:score_lists",
    summary="f1, precision, recall of lanes drawn 30 px thick on 1640x590, matched with a slack of 0.01, found where "
    "their IoU is above 0.5; counts over all pictures first",
)
SCORES.add(
    "llamas",
    f"{_HERE}.llamas:score_lines",
    summary="F1 as CULane's, on 1276x717 from row 300 down, matched exactly; or the mean |dx| of regressed lines",
)
SCORES.add(
    "openlane",
    f"{_HERE}.openlane:score_lists",
    summary="f1 as CULane's, on 1920x1280 at IoU 0.3; categories have to agree",
)
SCORES.add(
    "bdd100k",
    f"{_HERE}.bdd100k:score_lanes",
    summary="lane marks: F at 1, 2 and 5 px, mean of direction, style and category; drivable area: mIoU of direct and "
    "alternative, background left out; in %",
)
SCORES.add(
    "apolloscape",
    f"{_HERE}.apolloscape:score_folders",
    summary="mean IoU of the scored classes that occur (void is one) and of their categories; predictions on ignored "
    "truth cost nothing",
)
SCORES.add(
    "masks",
    f"{_HERE}.masks:score_folders",
    summary="iou, miou, dice, precision, recall and pixel_accuracy, as evaluate gives them, of two folders of masks",
)
