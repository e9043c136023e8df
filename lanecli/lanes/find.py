"""From a frame's class map or probabilities to its lane lines: the steps in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lanecli.errors import LaneError
from lanecli.geometry import Size
from lanecli.labels import LabelMap
from lanecli.lanes.appearance import class_names, colors, styles
from lanecli.lanes.classes import is_slot_coded, line_classes
from lanecli.lanes.clutter import without_clutter
from lanecli.lanes.confidence import confidences
from lanecli.lanes.curves import Curves, fit_curves
from lanecli.lanes.evidence import Evidence, weigh
from lanecli.lanes.grouping import Observations, group
from lanecli.lanes.lane import Lane
from lanecli.lanes.perspective import Perspective, find_perspective
from lanecli.lanes.roles import roles
from lanecli.lanes.runs import find_runs
from lanecli.lanes.slots import find_slots

if TYPE_CHECKING:
    from lanecli.media.frame import Frame

Floats = NDArray[np.floating]

LEAST_CONFIDENCE = 0.25
"""Lines that are less likely to be one are not given."""
_FAR_END = 0.04  # heights of the picture below the horizon that every line reaches, hidden or not
_MOST_STEP = 8.0  # rows of the frame from point to point
_DENSITY = 0.06  # and at most this share of the rows down from the horizon


@dataclass(frozen=True)
class Survey:
    """The lines of one frame.

    Attributes:
        lanes: from left to right.
        view: the perspective they were found in, in pixels of the scores they were found in.
    """

    lanes: tuple[Lane, ...]
    view: Perspective | None


def find_lanes(
    scores: np.ndarray, label_map: LabelMap, frame_size: Size | None = None, *, picture: Frame | None = None
) -> tuple[Lane, ...]:
    """The lane lines in a frame's class map or probabilities, from left to right.

    Example: ``find_lanes(class_map, label_map("lane"), (1280, 720))``.

    Args:
        scores: (h, w) uint8 train ids; or float32 probabilities, 0..1: (h, w) or (1, h, w) of class 1 of two classes,
            or (C, h, w). They cover the whole frame, at its own or any other size (the network's).
        label_map: their classes. Lane lines are the classes that read like one; where each class is a lane of its own
            (``tusimple-slots``, ``culane``), lanes are found class by class.
        frame_size: (width, height) the points are given in; None is the size of `scores`.
        picture: the frame itself, for the paint's colour.

    Raises:
        LaneError: `scores` are of another shape or type.
    """
    return survey(scores, label_map, frame_size, picture=picture).lanes


def survey(
    scores: np.ndarray,
    label_map: LabelMap,
    frame_size: Size | None = None,
    *,
    picture: Frame | None = None,
    prior: Perspective | None = None,
) -> Survey:
    """:func:`find_lanes` with the perspective found; `prior` is the one of an earlier frame of the same film."""
    classes = line_classes(label_map)
    planes = _planes(scores)
    if not classes:
        return Survey((), prior)
    traced, view = trace(scores, planes, classes, label_map, prior)
    known = view if view.certain or prior is None else prior
    if traced is None:
        return Survey((), known)
    seen, curves, evidence, mask_size = traced.seen, traced.curves, traced.evidence, traced.size
    confidence = confidences(evidence, curves, mask_size, traced.kept)
    size = frame_size or mask_size
    lines = polylines(traced, traced.kept & (confidence >= LEAST_CONFIDENCE), size)
    order = sorted(lines, key=lambda line: float(curves.offset[line]))
    names = class_names(scores, planes, classes, label_map, seen, evidence, order)
    looks = styles(evidence, label_map, names)
    tints = colors(picture, seen, evidence, order, mask_size, names)
    places = roles([lines[k] for k in order], [float(curves.offset[k]) for k in order], view, size)
    lanes = tuple(
        Lane(
            lines[k],
            float(confidence[k]),
            role,
            names[k],
            looks[k],
            tints[k],
            _width(evidence.width[k], lines[k], view, mask_size, size),
            n,
        )
        for n, (k, role) in enumerate(zip(order, places, strict=True))
    )
    return Survey(lanes, known)


@dataclass(frozen=True)
class Tracing:
    """Lines traced in a mask of `size`, doubtful ones too; `kept` says which are no clutter, (L,)."""

    seen: Observations
    curves: Curves
    evidence: Evidence
    kept: NDArray[np.bool_]
    size: Size


def trace(
    scores: np.ndarray,
    planes: np.ndarray | None,
    classes: tuple[int, ...],
    label_map: LabelMap,
    prior: Perspective | None = None,
) -> tuple[Tracing | None, Perspective]:
    """The lines seen in `scores` (as `planes`, where they are no class map), None without any; and the perspective."""
    height, width = scores.shape[-2:]
    if is_slot_coded(label_map):
        seen, view, step, support = find_slots(scores if planes is None else planes, classes, prior)
    else:
        mass = None if planes is None else _mass(planes, classes, label_map)
        runs = find_runs(scores, classes) if mass is None else find_runs((mass > 0.5).view(np.uint8))
        view = find_perspective(runs, (width, height), prior)
        seen, step = group(runs, view, height), runs.step
        support = None if mass is None else mass[seen.y.astype(np.intp), np.rint(seen.x).astype(np.intp)]
    if not seen.count:
        return None, view
    curves = fit_curves(seen, view, height)
    evidence = weigh(seen, curves, step, support)
    return Tracing(seen, curves, evidence, without_clutter(evidence, curves, height), (width, height)), view


def _planes(scores: np.ndarray) -> np.ndarray | None:
    """(C, h, w) float probabilities, or None for a class map."""
    if scores.ndim == 2 and scores.dtype == np.uint8:
        return None
    if scores.ndim in (2, 3) and np.issubdtype(scores.dtype, np.floating):
        return scores if scores.ndim == 3 else scores[None]
    raise LaneError(f"lane lines are found in uint8 class maps or float planes, not in {scores.dtype} {scores.shape}")


def _mass(planes: np.ndarray, classes: tuple[int, ...], label_map: LabelMap) -> np.ndarray:
    """The probability of a line in each pixel, (h, w)."""
    if len(planes) == 1:
        return planes[0] if classes == (1,) else 1 - planes[0]
    if len(planes) != len(label_map.classes):
        raise LaneError(f"{len(planes)} planes for the {len(label_map.classes)} classes of '{label_map.name}'")
    chosen = [planes[i] for i in classes]
    mass: np.ndarray = chosen[0] if len(chosen) == 1 else (np.max if label_map.multilabel else np.sum)(chosen, axis=0)
    return mass


def polylines(traced: Tracing, kept: NDArray[np.bool_], size: Size) -> dict[int, Floats]:
    """Points (N, 2) in a frame of `size` of each kept line: from the frame's bottom or side to the far end."""
    evidence, curves, (width, height) = traced.evidence, traced.curves, traced.size
    view = curves.view
    far = evidence.far[kept]
    if not len(far):
        return {}
    # Lines of one road end together; where the perspective is certain even those that something hides do.
    strong = far[evidence.painted[kept] > _FAR_END * height]
    common = float((strong if len(strong) else far).min())
    if view.certain:
        common = min(common, view.vy + _FAR_END * height)
    scale_x, scale_y = size[0] / width, size[1] / height
    lines = np.flatnonzero(kept)
    ends = (np.minimum(far, common) + 0.5) * scale_y - 0.5
    grid = _rows(float(size[1] - 1), float(ends.min()), (view.vy + 0.5) * scale_y - 0.5)
    # The last row of each line is its own far end.
    rows = np.concatenate([grid, ends])
    x = (curves.xs(lines, (rows + 0.5) / scale_y - 0.5) + 0.5) * scale_x - 0.5
    inside = (x >= -0.5) & (x <= size[0] - 0.5)
    middles = (0.5 * (evidence.near[lines] + evidence.far[lines]) + 0.5) * scale_y - 0.5
    found = {}
    for place, line in enumerate(lines.tolist()):
        high = int(np.searchsorted(-grid, -ends[place]))
        begin = min(int(np.searchsorted(-grid, -middles[place])), high - 1)
        outside = np.flatnonzero(~inside[:high, place])
        split = int(np.searchsorted(outside, begin))
        low = int(outside[split - 1]) + 1 if split else 0
        cut = split < len(outside)
        chosen = np.arange(low, int(outside[split]) if cut else high)
        if not cut and inside[len(grid) + place, place]:
            chosen = np.append(chosen, len(grid) + place)
        if len(chosen) > 1:
            found[line] = np.stack([x[chosen, place], rows[chosen]], axis=1)
    return found


def _rows(bottom: float, end: float, horizon: float) -> Floats:
    """Rows from the bottom up to before `end`: every eighth, nearer to the horizon, where lines bend, more."""
    dense = horizon + _MOST_STEP / _DENSITY
    rows, row = np.arange(bottom, max(end, dense), -_MOST_STEP).tolist(), bottom
    if rows:
        row = rows[-1] - _MOST_STEP
    while row > end:
        rows.append(row)
        row -= min(_MOST_STEP, max(1.0, _DENSITY * (row - horizon)))
    return np.array(rows)


def _width(ratio: float, points: Floats, view: Perspective, mask_size: Size, size: Size) -> float:
    """Width of the paint at a line's nearest point, in pixels of the frame; `ratio` is in camera heights."""
    near = (points[0, 1] + 0.5) * mask_size[1] / size[1] - 0.5 - view.vy
    return float(ratio * max(near, 1.5) * size[0] / mask_size[0])
