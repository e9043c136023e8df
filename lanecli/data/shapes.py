"""What annotation tools store: labelled polygons, lines, circles and patches, drawn in order into a mask of ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lanecli.data.layout import Layout, Pair, Request
from lanecli.data.rasterise import blank, draw_line, fill_circle, fill_polygon
from lanecli.data.words import ids_of, map_of
from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.labelmaps.lane import lane_map_of_words
from lanecli.labels import LabelMap

LINE_WIDTH = 5
"""Pixels a line is drawn with when the user does not say."""


@dataclass(frozen=True)
class Shape:
    """One labelled shape.

    Attributes:
        label: the tool's word.
        kind: ``polygon``, ``line``, ``circle`` (centre and a point on it) or ``patch``.
        points: (N, 2) x, y, pixel-centre coordinates; of a patch its top-left pixel.
        patch: (h, w) bool of a patch, else None.
    """

    label: str
    kind: str
    points: np.ndarray
    patch: np.ndarray | None = None


@dataclass(frozen=True)
class Drawing:
    """The shapes of one picture, in the order they are drawn, and the picture's size as the tool knew it."""

    size: Size
    shapes: tuple[Shape, ...]
    where: str


def draw(drawing: Drawing, values: Mapping[str, int], line_width: int) -> np.ndarray:
    """(H, W) uint8 ids. Raises InputError when a patch does not fit or the size is none of a picture."""
    mask = blank(drawing.size, drawing.where)
    for shape in drawing.shapes:
        value = values[shape.label]
        if shape.kind == "polygon":
            fill_polygon(mask, shape.points, value)
        elif shape.kind == "line":
            draw_line(mask, shape.points, value, line_width)
        elif shape.kind == "circle":
            fill_circle(mask, shape.points[0], float(np.hypot(*(shape.points[1] - shape.points[0]))), value)
        elif shape.patch is not None:
            _paste(mask, shape, value, drawing.where)
    return mask


def _paste(mask: np.ndarray, shape: Shape, value: int, where: str) -> None:
    patch = shape.patch
    if patch is None:
        return
    left, top = (round(v) for v in shape.points[0])
    window = mask[max(top, 0) : top + patch.shape[0], max(left, 0) : left + patch.shape[1]]
    if left < 0 or top < 0 or window.shape != patch.shape:
        raise InputError(f"{where}: a mask of '{shape.label}' reaches outside the picture")
    window[patch] = value


def layout_of(
    name: str,
    pairs: Sequence[Pair],
    request: Request,
    words: Sequence[str],
    colors: Mapping[str, tuple[int, int, int]],
    notes: Sequence[str],
) -> Layout:
    """A layout whose pairs' labels are `Drawing`s, with ids for `words` in alphabetical order."""
    used = {shape.label for pair in pairs for shape in pair.label.shapes}
    labels = ids_of({*words, *used}, str(request.source))

    def load(pair: Pair, label_map: LabelMap) -> np.ndarray:
        return draw(pair.label, labels, request.line_width or LINE_WIDTH)

    return Layout(
        tuple(pairs),
        map_of(name, labels, colors),
        name,
        load,
        labels,
        lambda: lane_map_of_words(labels),
        tuple(notes),
    )
