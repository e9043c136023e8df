"""How a line's paint looks: its class, solid or dashed or double, white or yellow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lanecli.geometry import Size
from lanecli.labels import LabelMap
from lanecli.lanes.classes import is_slot_coded
from lanecli.lanes.evidence import Evidence
from lanecli.lanes.grouping import Observations
from lanecli.lanes.lane import Color, Style

if TYPE_CHECKING:
    from lanecli.media.frame import Frame

Floats = NDArray[np.floating]

_THROUGH_GAPS = ("tusimple-binary",)  # labels drawn through the gaps between dashes do not show the style
_SOLID = 2.6  # an unbroken stretch whose far end is so many times as far as its near one is no dash
_WHOLE, _LONG = 0.75, 1.7  # nor one whose paint fills such a share of its rows, if it reaches so far
_DOUBLE = 0.3  # share of rows with two stripes
_SAMPLES = 24  # of a line's colour
_YELLOW = 5.0  # levels of Cb below the road beside it
_YELLOW_SHARE = 0.12  # of the paint's contrast in luma on top of that


def class_names(
    scores: np.ndarray,
    planes: np.ndarray | None,
    classes: tuple[int, ...],
    label_map: LabelMap,
    seen: Observations,
    evidence: Evidence,
    lines: Sequence[int],
) -> dict[int, str]:
    """For each of `lines` the name of the class that most of its paint has."""
    if len(classes) == 1:
        return dict.fromkeys(lines, label_map.names[classes[0]])
    names = {}
    for line in lines:
        part = slice(evidence.first[line], evidence.first[line] + evidence.count[line])
        y, x = seen.y[part].astype(np.intp), np.rint(seen.x[part]).astype(np.intp)
        x = np.clip(x, 0, scores.shape[-1] - 1)
        if planes is None:
            votes = np.bincount(scores[y, x], minlength=256)[list(classes)]
        else:
            votes = planes[list(classes)][:, y, x].sum(axis=1)
        names[line] = label_map.names[classes[int(votes.argmax())]]
    return names


def styles(evidence: Evidence, label_map: LabelMap, names: dict[int, str]) -> dict[int, Style | None]:
    """For each line of `names` its style; None where labels are drawn through gaps."""
    if is_slot_coded(label_map) or label_map.name in _THROUGH_GAPS:
        return dict.fromkeys(names)
    found: dict[int, Style | None] = {}
    for line, name in names.items():
        if evidence.double[line] > _DOUBLE or _says(r"\bdouble\b|^(ds|sb|db)_", name):
            found[line] = "double"
        elif _is_unbroken(evidence, line) or _says(r"\bsolid\b|^s_", name):
            found[line] = "solid"
        else:
            found[line] = "dashed"
    return found


@lru_cache(maxsize=256)
def _says(pattern: str, name: str) -> re.Match[str] | None:
    """What of a class's name matches; a film has the same few names in every frame."""
    return re.search(pattern, name)


def _is_unbroken(evidence: Evidence, line: int) -> bool:
    """Whether a line shows more paint in one stretch than a dash does, or hardly any gap."""
    span = evidence.near[line] - evidence.far[line] + 1
    whole = evidence.painted[line] > _WHOLE * span and evidence.longest[line] > _LONG
    return bool(whole or evidence.longest[line] > _SOLID)


def colors(
    picture: Frame | None,
    seen: Observations,
    evidence: Evidence,
    lines: Sequence[int],
    mask_size: Size,
    names: dict[int, str],
) -> dict[int, Color | None]:
    """For each of `lines` its colour: what its class says, else that of the picture's pixels, else None.

    Paint is yellow where it has clearly less blue than the road beside it; the road stands for the light's own tint.
    """
    found: dict[int, Color | None] = {}
    for line in lines:
        said = _says(r"\b(white|yellow)\b|_(w|y)_", names[line])
        if said:
            found[line] = "yellow" if (said[1] or said[2]).startswith("y") else "white"
        else:
            found[line] = None
    asked = [line for line in lines if found[line] is None]
    if picture is None or not asked:
        return found
    chosen = []
    for line in asked:  # the nearest rows show the paint best: half of them, evenly taken
        count = max(1, int(evidence.count[line] * 0.6))
        chosen.append(evidence.first[line] + np.linspace(0, count - 1, min(_SAMPLES, count)).astype(np.intp))
    at = np.concatenate(chosen)
    scale = np.array(picture.size) / mask_size
    y = (seen.y[at] + 0.5) * scale[1] - 0.5
    half = seen.width[at] * 0.5 * scale[0]
    aside = 2.2 * half + 3.0
    middle = (seen.x[at] + 0.5) * scale[0] - 0.5
    within = np.where(seen.stripe[at], -0.6 * half, 0.0)  # between two stripes is no paint
    luma, blue = _sample(picture, np.stack([middle + within, middle - within, middle - aside, middle + aside]), y)
    contrast = luma[:2].max(0) - luma[2:].mean(0)
    yellow = blue[2:].mean(0) - blue[:2].min(0)
    start = 0
    for line, part in zip(asked, chosen, strict=True):
        own = slice(start, start + len(part))
        start += len(part)
        limit = _YELLOW + _YELLOW_SHARE * max(0.0, float(np.median(contrast[own])))
        found[line] = "yellow" if float(np.median(yellow[own])) > limit else "white"
    return found


def _sample(picture: Frame, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Luma and Cb, both 0..255, of the picture at x (K, N) in the rows y (N,)."""
    width, height = picture.size
    columns = np.clip(np.rint(x), 0, width - 1).astype(np.intp)
    rows = np.clip(np.rint(y), 0, height - 1).astype(np.intp)
    if picture.is_planar:
        luma, blue, _ = picture.planes
        return luma[rows, columns].astype(float), blue[rows // 2, columns // 2].astype(float)
    pixels = picture.rgb()[rows, columns].astype(float)
    return pixels @ [0.299, 0.587, 0.114], pixels @ [-0.1687, -0.3313, 0.5] + 128
