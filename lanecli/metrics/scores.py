"""The registry of official scores, which `lanecli score` computes and `lanecli list metrics` explains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lanecli.registry import Registry

SCORES: Registry[Callable[..., dict[str, Any]]] = Registry("score")
_HERE = "lanecli.metrics"
SCORES.add(
    "tusimple",
    f"{_HERE}.tusimple:score_files",
    summary="accuracy: share of right rows (within 20 px across the lane) of each true lane's best prediction; fp, fn: "
    "invented and missed lanes, found at 0.85; means over pictures",
)
SCORES.add(
    "culane",
    f"{_HERE}.culane:score_lists",
    summary="f1, precision, recall of lanes drawn 30 px thick at 1640x590, matched with a slack of 0.01, found if "
    "their IoU is above 0.5; counts are summed over all pictures first",
)
SCORES.add(
    "llamas",
    f"{_HERE}.llamas:score_lines",
    summary="F1 like CULane's, at 1276x717 from row 300 down, matched exactly; or the mean |dx| of regressed lines",
)
SCORES.add(
    "openlane",
    f"{_HERE}.openlane:score_lists",
    summary="f1 like CULane's, at 1920x1280 and IoU 0.3; categories must agree",
)
SCORES.add(
    "bdd100k",
    f"{_HERE}.bdd100k:score_lanes",
    summary="lane marks: F at 1, 2 and 5 px, mean of direction, style and category; drivable area: mIoU of direct and "
    "alternative without background; in %",
)
SCORES.add(
    "apolloscape",
    f"{_HERE}.apolloscape:score_folders",
    summary="mean IoU of the scored classes that occur (void is one) and of their categories; predictions where the "
    "truth is ignored cost nothing",
)
SCORES.add(
    "masks",
    f"{_HERE}.masks:score_folders",
    summary="iou, miou, dice, precision, recall and pixel_accuracy of two folders of masks, as evaluate computes them",
)
