"""What annotation tools store: labelled polygons, lines, circles and patches, drawn in order into a mask of ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lanecli.data.layout import LaneLine, Layout, Pair, Request
from lanecli.data.orientation import upright_size
from lanecli.data.rasterise import are_points, blank, draw_line, fill_circle, fill_polygon, from_corners
from lanecli.data.words import ids_of, is_background, is_ignored, map_of
from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.labelmaps.lane import lane_map_of_words, reads_like_a_lane
from lanecli.labels import LabelMap
from lanecli.media.picture_header import MAX_PIXELS

LINE_WIDTH = 5
"""Pixels a line is drawn with when the user does not say."""
_LARGER = 4
"""A patch of more than so many times the picture's pixels is no label of it, and is refused before it is unpacked."""


@dataclass(frozen=True)
class Shape:
    """One labelled shape.

    Attributes:
        label: the tool's word.
        kind: ``polygon``, ``line``, ``circle`` (centre and a point on it) or ``patch``.
        points: (N, 2) x, y, pixel-centre coordinates; of a patch its top-left pixel.
        patch: gives the (h, w) bool of a patch, unpacked only when it is drawn; else None.
        extent: (w, h) of a patch.
    """

    label: str
    kind: str
    points: np.ndarray
    patch: Callable[[], np.ndarray] | None = None
    extent: Size = (0, 0)


@dataclass(frozen=True)
class Drawing:
    """The shapes of one picture, in the order they are drawn, and the picture's size if the tool wrote it down."""

    size: Size | None
    shapes: tuple[Shape, ...]
    where: str


@dataclass
class Tally:
    """What a reader counts: annotations left out by reason, and pictures that are not there."""

    left_out: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)

    def notes(self, named_in: str) -> list[str]:
        """A line about the pictures that are not there."""
        if not self.missing:
            return []
        return [f"{len(self.missing)} pictures named in {named_in} are not there, the first is {self.missing[0]}"]


def points_of(values: Any, where: str) -> np.ndarray:
    """(N, 2) x, y in a tool's coordinates as pixel-centre ones. Raises InputError for what are no finite numbers."""
    try:
        points = from_corners(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: its points are no pairs of numbers") from error
    if not are_points(points):
        raise InputError(f"{where}: its points are no finite numbers near a picture")
    return points


def size_of(width: Any, height: Any, where: str) -> Size | None:
    """A size as a file declares it; None where it says nothing. Raises InputError for what is none."""
    if width is None or height is None:
        return None
    try:
        size = (int(width), int(height))
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: '{width!s:.20}' x '{height!s:.20}' is no size of a picture") from error
    if size[0] < 1 or size[1] < 1 or size[0] * size[1] > MAX_PIXELS:
        raise InputError(f"{where}: {size[0]}x{size[1]} is no size of a picture")
    return size


def draw(drawing: Drawing, size: Size, values: Mapping[str, int], line_width: int) -> np.ndarray:
    """(H, W) uint8 ids of a picture of `size`.

    Raises InputError for a patch far larger than the picture, one that is damaged, or a shape too intricate.
    """
    mask = blank(size, drawing.where)
    for shape in drawing.shapes:
        value = values[shape.label]
        try:
            if shape.kind == "polygon":
                fill_polygon(mask, shape.points, value)
            elif shape.kind == "line":
                draw_line(mask, shape.points, value, line_width)
            elif shape.kind == "circle":
                fill_circle(mask, shape.points[0], float(np.hypot(*(shape.points[1] - shape.points[0]))), value)
            elif shape.patch is not None:
                _paste(mask, shape, value)
        except InputError as error:
            text = str(error)
            raise InputError(text if drawing.where in text else f"{drawing.where}: {text}") from error
    return mask


def _paste(mask: np.ndarray, shape: Shape, value: int) -> None:
    """Put a patch where it lies; what reaches over the border is cut off, as of polygons."""
    if shape.patch is None:
        return
    if shape.extent[0] * shape.extent[1] > _LARGER * mask.size + 4096:
        raise InputError(f"a mask of {shape.extent[0]}x{shape.extent[1]} in a picture of {mask.shape[::-1]}")
    patch = shape.patch()
    left, top = (round(v) for v in np.clip(shape.points[0], -MAX_PIXELS, MAX_PIXELS))
    window = mask[max(top, 0) : max(top + patch.shape[0], 0), max(left, 0) : max(left + patch.shape[1], 0)]
    up, along = max(-top, 0), max(-left, 0)
    window[patch[up : up + window.shape[0], along : along + window.shape[1]]] = value


def layout_of(
    name: str,
    pairs: Sequence[Pair],
    request: Request,
    words: Iterable[str],
    colors: Mapping[str, tuple[int, int, int]],
    notes: Sequence[str],
    **facts: Any,
) -> Layout:
    """A layout whose pairs' labels are `Drawing`s.

    Args:
        name: the layout's.
        pairs: with drawings.
        request: what was asked for.
        words: the labels the tool declares, in its order; they get ids in it. Others that are used follow by alphabet.
        colors: by label.
        notes: for the user.
        facts: other attributes of the layout.
    """
    declared = list(dict.fromkeys(words))
    used = {shape.label for pair in pairs for shape in pair.label.shapes}
    labels = ids_of([*declared, *sorted(used - set(declared))], str(request.source))
    unused = tuple(w for w in labels if w not in used and not is_background(w) and not is_ignored(w)) if used else ()
    kept = {word: value for word, value in labels.items() if word not in unused}
    ignored = [value for word, value in labels.items() if is_ignored(word)]

    def load(pair: Pair, label_map: LabelMap) -> np.ndarray:
        return draw(pair.label, _size_of(pair), labels, request.line_width or LINE_WIDTH)

    return Layout(
        tuple(pairs),
        map_of(name, kept, colors),
        name,
        load,
        labels,
        lambda: lane_map_of_words(labels, ignored=ignored),
        unused,
        _lanes if any(_lanes(pair) for pair in pairs) else None,
        tuple(notes),
        sum(len(pair.label.shapes) for pair in pairs),
        **facts,
    )


def _size_of(pair: Pair) -> Size:
    """The size shapes are drawn at: the declared one, which must be the picture's, upright or as stored."""
    shown, orientation = upright_size(pair.image)
    stored = orientation.size(shown)
    declared: Size = pair.label.size or shown
    if declared not in (shown, stored):
        raise InputError(
            f"{pair.label.where}: is {declared[0]}x{declared[1]}, its picture {pair.image.name} is "
            f"{shown[0]}x{shown[1]}; they must have one size"
        )
    return declared


def _lanes(pair: Pair) -> list[LaneLine]:
    """The lines of a drawing whose label speaks of a lane, from near to far."""
    lines = [s for s in pair.label.shapes if s.kind == "line" and len(s.points) > 1 and reads_like_a_lane(s.label)]
    return [LaneLine(from_near(s.points), s.label) for s in lines]


def from_near(points: np.ndarray) -> np.ndarray:
    """(N, 2) x, y in the order that begins at the end nearer to the camera, the lower one."""
    return points if points[0, 1] >= points[-1, 1] else points[::-1]
