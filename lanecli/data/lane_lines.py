"""Writes ``lanes.jsonl`` of a prepared dataset: the lane lines of each picture, in pixels of the prepared picture.

Each picture has one line: ``{"image": …, "size": [W, H], "lanes": [{"id": 0, "class": …, "points": [[x, y], …]}]}``,
where ``image`` is the picture's name in ``manifest.csv``, and points run from near to far.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from lanecli import atomic
from lanecli.data.layout import Pair
from lanecli.data.orientation import turned_points, upright_size
from lanecli.data.plan import Plan
from lanecli.data.shapes import Drawing

LANES = "lanes.jsonl"


def lanes_of_pair(plan: Plan, pair: Pair) -> dict[str, Any] | None:
    """Return the ``size`` of a prepared picture and its ``lanes``, or None if the layout has no lanes."""
    if plan.layout.lanes is None:
        return None
    shown, orientation = upright_size(pair.image)
    placement = plan.geometry.place(shown)
    labelled = (pair.label.size if isinstance(pair.label, Drawing) else None) or shown
    lanes: list[dict[str, Any]] = []
    for lane in plan.layout.lanes(pair):
        points = lane.points
        if labelled != shown and labelled == shown[::-1]:
            points = turned_points(points, labelled, orientation)
        points = within_rows(placement.points(points), placement.network[1])
        if len(points) > 1:
            lanes.append({"id": len(lanes), "class": lane.label, "points": np.round(points, 2).tolist()})
    return {"size": list(placement.network), "lanes": lanes}


def within_rows(points: np.ndarray, height: int) -> np.ndarray:
    """Clip a line to the rows of a picture.

    Args:
        points: (N, 2) x, y in pixel-centre coordinates.
        height: number of rows.

    Returns:
        (M, 2) x, y, with points added where the line crosses the first or last row's outer edge.
    """
    top, bottom = -0.5, height - 0.5
    if top <= points[:, 1].min(initial=top) and points[:, 1].max(initial=top) <= bottom:
        return points
    kept: list[np.ndarray] = []
    for start, end in pairwise(points):
        span = end[1] - start[1]
        if span == 0:
            ends = [0.0, 1.0] if top <= start[1] <= bottom else []
        else:
            low, high = sorted(((top - start[1]) / span, (bottom - start[1]) / span))
            ends = [max(0.0, low), min(1.0, high)]
        if ends and ends[0] <= ends[1]:
            for share in ends:
                point = start + share * (end - start)
                if not kept or not np.array_equal(kept[-1], point):
                    kept.append(point)
    return np.array(kept).reshape(-1, 2)


def write_lane_lines(root: Path, images: Sequence[str], lanes_by_image: Sequence[dict[str, Any]]) -> None:
    """Write ``lanes.jsonl``.

    Args:
        root: the dataset's folder.
        images: the pictures' names in the manifest.
        lanes_by_image: for each picture, what `lanes_of_pair` returned.
    """
    lines = [json.dumps({"image": image, **lanes}) for image, lanes in zip(images, lanes_by_image, strict=True)]
    atomic.write(root / LANES, "".join(f"{line}\n" for line in lines).encode())
