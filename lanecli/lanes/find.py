"""Finds the lane lines of a frame in its class map or probabilities; the steps stand in their order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lanecli.errors import LaneError
from lanecli.geometry import Size
from lanecli.labelmaps.line_classes import is_slot_coded, line_classes
from lanecli.labels import LabelMap
from lanecli.lanes.appearance import class_names, colors, styles
from lanecli.lanes.clutter import lines_to_keep
from lanecli.lanes.confidence import confidences
from lanecli.lanes.curves import Curves, fit_curves
from lanecli.lanes.evidence import Evidence, gather_evidence
from lanecli.lanes.grouping import Observations, group_fragments
from lanecli.lanes.lane import Lane
from lanecli.lanes.perspective import Perspective, find_perspective
from lanecli.lanes.roles import find_roles
from lanecli.lanes.runs import find_runs
from lanecli.lanes.slots import find_slots

if TYPE_CHECKING:
    from lanecli.media.frame import Frame

Floats = NDArray[np.floating]

LEAST_CONFIDENCE = 0.25
"""Lines of a lower confidence are dropped."""
_FAR_END = 0.04  # every line, hidden or not, reaches this close to the horizon, in heights of the picture
_MAX_STEP = 8.0  # rows of the frame between two points, at most
_DENSITY = 0.06  # and at most this share of the rows between the point and the horizon


@dataclass(frozen=True)
class FrameLanes:
    """The lines of one frame, and its perspective.

    Attributes:
        lanes: the lane lines from left to right.
        view: the perspective in which they were found, in pixels of the scores; None if there is none.
    """

    lanes: tuple[Lane, ...]
    view: Perspective | None


def find_lanes(
    scores: np.ndarray, label_map: LabelMap, frame_size: Size | None = None, *, picture: Frame | None = None
) -> tuple[Lane, ...]:
    """Return the lane lines in the class map or the probabilities of a frame, from left to right.

    Args:
        scores: (h, w) uint8 train ids; or float32 probabilities, 0..1: (h, w) or (1, h, w) of class 1 of two classes,
            or (C, h, w). They cover the whole frame, at any size (for example that of the network).
        label_map: the classes. Lane lines are the classes whose names say so. If each class is one lane
            (``tusimple-slots``, ``culane``), each class is searched separately.
        frame_size: (width, height) of the frame, in whose pixels the points are; None means the size of `scores`.
        picture: the frame itself, from which the colour of the paint is read.

    Raises:
        LaneError: `scores` has an unsupported shape or dtype.

    Example:
        >>> from lanecli.labelmaps import label_map
        >>> class_map = np.zeros((180, 320), np.uint8)
        >>> class_map[90:, 158:162] = 1
        >>> [lane.style for lane in find_lanes(class_map, label_map("lane"), (1280, 720))]
        ['solid']
    """
    return find_lanes_and_view(scores, label_map, frame_size, picture=picture).lanes


def find_lanes_and_view(
    scores: np.ndarray,
    label_map: LabelMap,
    frame_size: Size | None = None,
    *,
    picture: Frame | None = None,
    prior: Perspective | None = None,
) -> FrameLanes:
    """Find the lane lines of a frame and its perspective.

    Args:
        scores, label_map, frame_size, picture: see :func:`find_lanes`.
        prior: the perspective of an earlier frame of the same video, in pixels of `scores`.

    Raises:
        LaneError: `scores` has an unsupported shape or dtype.
    """
    classes = line_classes(label_map)
    planes = _planes(scores)
    if not classes:
        return FrameLanes((), prior)
    traced, view = trace_lines(scores, planes, classes, label_map, prior)
    likely_view = view if view.certain or prior is None else prior
    if traced is None:
        return FrameLanes((), likely_view)
    observations, curves, evidence, mask_size = traced.observations, traced.curves, traced.evidence, traced.size
    confidence = confidences(evidence, curves, mask_size, traced.kept)
    size = frame_size or mask_size
    lines = polylines(traced, traced.kept & (confidence >= LEAST_CONFIDENCE), size)
    lines_by_offset = sorted(lines, key=lambda line: float(curves.offset[line]))
    names = class_names(scores, planes, classes, label_map, observations, evidence, lines_by_offset)
    line_styles = styles(evidence, label_map, names)
    line_colors = colors(picture, observations, evidence, lines_by_offset, mask_size, names)
    line_roles = find_roles(
        [lines[k] for k in lines_by_offset], [float(curves.offset[k]) for k in lines_by_offset], view, size
    )
    lanes = tuple(
        Lane(
            lines[k],
            float(confidence[k]),
            role,
            names[k],
            line_styles[k],
            line_colors[k],
            _paint_width(evidence.width[k], lines[k], view, mask_size, size),
            number,
        )
        for number, (k, role) in enumerate(zip(lines_by_offset, line_roles, strict=True))
    )
    return FrameLanes(lanes, likely_view)


@dataclass(frozen=True)
class TracedLines:
    """The L lines that were traced in a mask, unlikely ones included.

    Attributes:
        observations: the observations of all lines.
        curves: the curves fitted to them.
        evidence: the evidence of each line.
        kept: (L,) which lines are not clutter.
        size: (width, height) of the mask.
    """

    observations: Observations
    curves: Curves
    evidence: Evidence
    kept: NDArray[np.bool_]
    size: Size


def trace_lines(
    scores: np.ndarray,
    planes: np.ndarray | None,
    classes: tuple[int, ...],
    label_map: LabelMap,
    prior: Perspective | None = None,
) -> tuple[TracedLines | None, Perspective]:
    """Trace the lines in a class map or in probabilities.

    Args:
        scores: (h, w) uint8 train ids or float probabilities.
        planes: the probabilities as (C, h, w), or None if `scores` is a class map.
        classes: train ids of the lane lines.
        label_map: the classes of `scores`.
        prior: the perspective of an earlier frame.

    Returns:
        The lines, or None if there are none; and the perspective.
    """
    height, width = scores.shape[-2:]
    if is_slot_coded(label_map):
        observations, view, step, support = find_slots(scores if planes is None else planes, classes, prior)
    else:
        probability = None if planes is None else _line_probability(planes, classes, label_map)
        runs = find_runs(*_mask_of(scores, probability, classes))
        view = find_perspective(runs, (width, height), prior)
        observations, step = group_fragments(runs, view, height), runs.step
        support = (
            None
            if probability is None
            else probability[observations.y.astype(np.intp), np.rint(observations.x).astype(np.intp)]
        )
    if not observations.count:
        return None, view
    curves = fit_curves(observations, view, height)
    evidence = gather_evidence(observations, curves, step, support)
    return TracedLines(observations, curves, evidence, lines_to_keep(evidence, curves, height), (width, height)), view


def line_pixels(scores: np.ndarray, label_map: LabelMap) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
    """Return (h, w) uint8 and the values of its line pixels, from a class map or probabilities."""
    planes, classes = _planes(scores), line_classes(label_map)
    probability = None if planes is None else _line_probability(planes, classes, label_map)
    return _mask_of(scores, probability, classes)


def _mask_of(
    scores: np.ndarray, probability: np.ndarray | None, classes: tuple[int, ...]
) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
    return (scores, classes) if probability is None else ((probability > 0.5).view(np.uint8), (1,))


def _planes(scores: np.ndarray) -> np.ndarray | None:
    """Return the probabilities as (C, h, w), or None for a class map."""
    if scores.ndim == 2 and scores.dtype == np.uint8:
        return None
    if scores.ndim in (2, 3) and np.issubdtype(scores.dtype, np.floating):
        return scores if scores.ndim == 3 else scores[None]
    raise LaneError(f"lane lines are found in uint8 class maps or float planes, not in {scores.dtype} {scores.shape}")


def _line_probability(planes: np.ndarray, classes: tuple[int, ...], label_map: LabelMap) -> np.ndarray:
    """Return the probability of a lane line in each pixel, (h, w)."""
    if len(planes) == 1:
        return planes[0] if classes == (1,) else 1 - planes[0]
    if len(planes) != len(label_map.classes):
        raise LaneError(f"{len(planes)} planes for the {len(label_map.classes)} classes of '{label_map.name}'")
    chosen = [planes[i] for i in classes]
    probability: np.ndarray = (
        chosen[0] if len(chosen) == 1 else (np.max if label_map.multilabel else np.sum)(chosen, axis=0)
    )
    return probability


def polylines(traced: TracedLines, kept: NDArray[np.bool_], size: Size) -> dict[int, Floats]:
    """Return the points of each kept line, from the bottom or the side of the frame to its far end.

    Args:
        traced: the lines.
        kept: (L,) which lines to return.
        size: (width, height) of the frame.

    Returns:
        (N, 2) x, y in pixels of the frame, for the index of each line of at least two points.
    """
    evidence, curves, (width, height) = traced.evidence, traced.curves, traced.size
    view = curves.view
    far = evidence.far[kept]
    if not len(far):
        return {}
    # Lines of one road end at the same row; if the perspective is certain, this holds even for hidden ends.
    well_seen = far[evidence.painted[kept] > _FAR_END * height]
    shared_end = float((well_seen if len(well_seen) else far).min())
    if view.certain:
        shared_end = min(shared_end, view.vy + _FAR_END * height)
    scale_x, scale_y = size[0] / width, size[1] / height
    lines = np.flatnonzero(kept)
    ends = (np.minimum(far, shared_end) + 0.5) * scale_y - 0.5
    grid = _point_rows(float(size[1] - 1), float(ends.min()), (view.vy + 0.5) * scale_y - 0.5)
    # The last point of each line lies at its own far end.
    rows = np.concatenate([grid, ends])
    x = (curves.xs(lines, (rows + 0.5) / scale_y - 0.5) + 0.5) * scale_x - 0.5
    inside = (x >= -0.5) & (x <= size[0] - 0.5)
    middle_rows = (0.5 * (evidence.near[lines] + evidence.far[lines]) + 0.5) * scale_y - 0.5
    points_by_line = {}
    for column, line in enumerate(lines.tolist()):
        high = int(np.searchsorted(-grid, -ends[column]))
        middle = min(int(np.searchsorted(-grid, -middle_rows[column])), high - 1)
        outside = np.flatnonzero(~inside[:high, column])
        split = int(np.searchsorted(outside, middle))
        low = int(outside[split - 1]) + 1 if split else 0
        cut = split < len(outside)
        chosen = np.arange(low, int(outside[split]) if cut else high)
        if not cut and inside[len(grid) + column, column]:
            chosen = np.append(chosen, len(grid) + column)
        if len(chosen) > 1:
            points_by_line[line] = np.stack([x[chosen, column], rows[chosen]], axis=1)
    return points_by_line


def _point_rows(bottom: float, end: float, horizon: float) -> Floats:
    """Return rows from the bottom up to `end` (exclusive): every eighth, denser near the horizon, where lines bend."""
    dense = horizon + _MAX_STEP / _DENSITY
    rows, row = np.arange(bottom, max(end, dense), -_MAX_STEP).tolist(), bottom
    if rows:
        row = rows[-1] - _MAX_STEP
    while row > end:
        rows.append(row)
        row -= min(_MAX_STEP, max(1.0, _DENSITY * (row - horizon)))
    return np.array(rows)


def _paint_width(ratio: float, points: Floats, view: Perspective, mask_size: Size, size: Size) -> float:
    """Return the width of the paint at the nearest point of a line, in pixels; `ratio` is in camera heights."""
    near = (points[0, 1] + 0.5) * mask_size[1] / size[1] - 0.5 - view.vy
    return float(ratio * max(near, 1.5) * size[0] / mask_size[0])
