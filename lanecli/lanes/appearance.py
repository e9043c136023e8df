"""The appearance of a line: its class, its style (solid, dashed or double) and its colour (white or yellow)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lanecli.geometry import Size
from lanecli.labelmaps.line_classes import is_slot_coded
from lanecli.labels import LabelMap
from lanecli.lanes.evidence import Evidence
from lanecli.lanes.grouping import Observations
from lanecli.lanes.lane import Color, Style

if TYPE_CHECKING:
    from lanecli.media.frame import Frame

Floats = NDArray[np.floating]

_DRAWN_THROUGH_GAPS = ("tusimple-binary",)  # labels drawn through the gaps between dashes hide the style
_SOLID = 2.6  # a dash is shorter: ratio of the distances from the car of the far and the near end of a stretch
_WHOLE, _LONG = 0.75, 1.7  # nor has a dashed line both this share of painted rows and a stretch of this ratio
_DOUBLE = 0.3  # the share of rows with two stripes above which a line is double
_SAMPLES = 24  # points at which the colour of a line is sampled
_YELLOW = 5.0  # yellow paint has so much less Cb than the road beside it
_YELLOW_SHARE = 0.12  # and this share of its contrast in luma on top of that


def class_names(
    scores: np.ndarray,
    planes: np.ndarray | None,
    classes: tuple[int, ...],
    label_map: LabelMap,
    observations: Observations,
    evidence: Evidence,
    lines: Sequence[int],
) -> dict[int, str]:
    """Return the name of the class that most of a line's paint has, for each line.

    Args:
        scores: (h, w) uint8 train ids or (C, h, w) float probabilities.
        planes: the probabilities, or None if `scores` is a class map.
        classes: train ids of the lane lines.
        label_map: the classes of `scores`.
        observations: the observations of all lines.
        evidence: the evidence of all lines.
        lines: indices of the lines to name.

    Returns:
        A class name for each index in `lines`.
    """
    if len(classes) == 1:
        return dict.fromkeys(lines, label_map.names[classes[0]])
    names = {}
    for line in lines:
        part = slice(evidence.first[line], evidence.first[line] + evidence.count[line])
        y, x = observations.y[part].astype(np.intp), np.rint(observations.x[part]).astype(np.intp)
        x = np.clip(x, 0, scores.shape[-1] - 1)
        if planes is None:
            votes = np.bincount(scores[y, x], minlength=256)[list(classes)]
        else:
            votes = planes[list(classes)][:, y, x].sum(axis=1)
        names[line] = label_map.names[classes[int(votes.argmax())]]
    return names


def styles(evidence: Evidence, label_map: LabelMap, names: dict[int, str]) -> dict[int, Style | None]:
    """Return the style of each line in `names`; None for all of them if the labels are drawn through gaps.

    Args:
        evidence: the evidence of all lines.
        label_map: the label map of the classes.
        names: a class name for each line, from :func:`class_names`.
    """
    if is_slot_coded(label_map) or label_map.name in _DRAWN_THROUGH_GAPS:
        return dict.fromkeys(names)
    result: dict[int, Style | None] = {}
    for line, name in names.items():
        if evidence.double[line] > _DOUBLE or _match_in_name(r"\bdouble\b|^(ds|sb|db)_", name):
            result[line] = "double"
        elif _is_unbroken(evidence, line) or _match_in_name(r"\bsolid\b|^s_", name):
            result[line] = "solid"
        else:
            result[line] = "dashed"
    return result


@lru_cache(maxsize=256)
def _match_in_name(pattern: str, name: str) -> re.Match[str] | None:
    """Search a class name for a pattern; cached because all frames of a video have the same few names."""
    return re.search(pattern, name)


def _is_unbroken(evidence: Evidence, line: int) -> bool:
    """Return whether a line has a stretch of paint longer than a dash, or hardly any gaps."""
    span = evidence.near[line] - evidence.far[line] + 1
    whole = evidence.painted[line] > _WHOLE * span and evidence.longest[line] > _LONG
    return bool(whole or evidence.longest[line] > _SOLID)


def colors(
    picture: Frame | None,
    observations: Observations,
    evidence: Evidence,
    lines: Sequence[int],
    mask_size: Size,
    names: dict[int, str],
) -> dict[int, Color | None]:
    """Return the colour of each line: from the name of its class, else from the picture's pixels, else None.

    Paint is yellow if it has clearly less blue than the road beside it, which shows the tint of the light.

    Args:
        picture: the frame, or None.
        observations: the observations of all lines.
        evidence: the evidence of all lines.
        lines: indices of the lines.
        mask_size: (width, height) of the mask that `observations` lie in.
        names: a class name for each line.
    """
    result: dict[int, Color | None] = {}
    for line in lines:
        match = _match_in_name(r"\b(white|yellow)\b|_(w|y)_", names[line])
        if match:
            result[line] = "yellow" if (match[1] or match[2]).startswith("y") else "white"
        else:
            result[line] = None
    undecided = [line for line in lines if result[line] is None]
    if picture is None or not undecided:
        return result
    chosen = []
    for line in undecided:  # the nearer rows show the paint best
        count = max(1, int(evidence.count[line] * 0.6))
        chosen.append(evidence.first[line] + np.linspace(0, count - 1, min(_SAMPLES, count)).astype(np.intp))
    sampled = np.concatenate(chosen)
    scale = np.array(picture.size) / mask_size
    y = (observations.y[sampled] + 0.5) * scale[1] - 0.5
    half = observations.width[sampled] * 0.5 * scale[0]
    road_offset = 2.2 * half + 3.0
    middle = (observations.x[sampled] + 0.5) * scale[0] - 0.5
    stripe_offset = np.where(observations.stripe[sampled], -0.6 * half, 0.0)  # the gap between two stripes has no paint
    luma, blue = _sample(
        picture,
        np.stack([middle + stripe_offset, middle - stripe_offset, middle - road_offset, middle + road_offset]),
        y,
    )
    contrast = luma[:2].max(0) - luma[2:].mean(0)
    yellow = blue[2:].mean(0) - blue[:2].min(0)
    start = 0
    for line, part in zip(undecided, chosen, strict=True):
        own = slice(start, start + len(part))
        start += len(part)
        limit = _YELLOW + _YELLOW_SHARE * max(0.0, float(np.median(contrast[own])))
        result[line] = "yellow" if float(np.median(yellow[own])) > limit else "white"
    return result


def _sample(picture: Frame, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return luma and Cb, both 0..255 and (K, N), of the picture at x (K, N) in the rows y (N,)."""
    width, height = picture.size
    columns = np.clip(np.rint(x), 0, width - 1).astype(np.intp)
    rows = np.clip(np.rint(y), 0, height - 1).astype(np.intp)
    if picture.is_planar:
        luma, blue, _ = picture.planes
        return luma[rows, columns].astype(float), blue[rows // 2, columns // 2].astype(float)
    pixels = picture.rgb()[rows, columns].astype(float)
    return pixels @ [0.299, 0.587, 0.114], pixels @ [-0.1687, -0.3313, 0.5] + 128
