"""Labelled shapes from annotation tools: polygons, lines, circles and patches, drawn in order into a mask of ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lanecli.data.layout import LaneLine, Layout, Pair, Request
from lanecli.data.orientation import upright_size
from lanecli.data.rasterise import are_points, blank, draw_line, fill_circle, fill_polygon, from_corners
from lanecli.data.words import ids_of, is_background, is_ignored, label_map_of
from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.labelmaps.lane import lane_map_of_words, reads_like_a_lane
from lanecli.labels import LabelMap
from lanecli.media.picture_header import MAX_PIXELS

LINE_WIDTH = 5
"""Width of lines in pixels, if the user gives none."""
_LARGER = 4
"""A patch with more than this many times the picture's pixels is refused before it is unpacked."""


@dataclass(frozen=True)
class Shape:
    """One labelled shape.

    Attributes:
        label: the label word.
        kind: ``polygon``, ``line``, ``circle`` or ``patch``.
        points: (N, 2) x, y in pixel-centre coordinates; the centre and a point on it for a circle, the top-left pixel
            for a patch.
        patch: for a patch, returns its (h, w) bool, which is unpacked only when it is drawn; else None.
        extent: (width, height) of a patch.
    """

    label: str
    kind: str
    points: np.ndarray
    patch: Callable[[], np.ndarray] | None = None
    extent: Size = (0, 0)


@dataclass(frozen=True)
class Drawing:
    """The shapes of one picture.

    Attributes:
        size: the picture's (width, height) according to the tool, or None.
        shapes: the shapes in the order they are drawn.
        where: the file, for error messages.
    """

    size: Size | None
    shapes: tuple[Shape, ...]
    where: str


@dataclass
class Tally:
    """What a reader counts.

    Attributes:
        left_out: number of annotations that are left out, by reason.
        missing: names of pictures that do not exist.
    """

    left_out: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)

    def notes(self, named_in: str) -> list[str]:
        """Return a line about the pictures that do not exist, if any; `named_in` says what names them."""
        if not self.missing:
            return []
        return [f"{len(self.missing)} pictures named in {named_in} do not exist, the first is {self.missing[0]}"]


def to_pixel_centres(values: Any, where: str) -> np.ndarray:
    """Convert a tool's points to (N, 2) x, y in pixel-centre coordinates. Raises InputError if they are not numbers."""
    try:
        points = from_corners(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: its points are not pairs of numbers") from error
    if not are_points(points):
        raise InputError(f"{where}: its points are not finite numbers near a picture")
    return points


def declared_size(width: Any, height: Any, where: str) -> Size | None:
    """Return the (width, height) that a file declares, or None if it declares none. Raises InputError if not valid."""
    if width is None or height is None:
        return None
    try:
        size = (int(width), int(height))
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: '{width!s:.20}' x '{height!s:.20}' is not a valid picture size") from error
    if size[0] < 1 or size[1] < 1 or size[0] * size[1] > MAX_PIXELS:
        raise InputError(f"{where}: {size[0]}x{size[1]} is not a valid picture size")
    return size


def draw(drawing: Drawing, size: Size, values: Mapping[str, int], line_width: int) -> np.ndarray:
    """Draw shapes into a new mask.

    Args:
        drawing: the shapes.
        size: (width, height) of the mask.
        values: the id of each label word.
        line_width: width of lines in pixels.

    Returns:
        (height, width) uint8 ids, 0 where there is no shape.

    Raises:
        InputError: a patch is damaged or far larger than the picture, or a shape is too intricate.
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
    """Set the pixels of a patch; parts outside the mask are cut off, as they are for polygons."""
    if shape.patch is None:
        return
    if shape.extent[0] * shape.extent[1] > _LARGER * mask.size + 4096:
        raise InputError(f"a mask of {shape.extent[0]}x{shape.extent[1]} in a picture of {mask.shape[::-1]}")
    patch = shape.patch()
    left, top = (round(v) for v in np.clip(shape.points[0], -MAX_PIXELS, MAX_PIXELS))
    window = mask[max(top, 0) : max(top + patch.shape[0], 0), max(left, 0) : max(left + patch.shape[1], 0)]
    up, along = max(-top, 0), max(-left, 0)
    window[patch[up : up + window.shape[0], along : along + window.shape[1]]] = value


def layout_from_drawings(
    name: str,
    pairs: Sequence[Pair],
    request: Request,
    words: Iterable[str],
    colors: Mapping[str, tuple[int, int, int]],
    notes: Sequence[str],
    **attributes: Any,
) -> Layout:
    """Return a layout whose pairs have a `Drawing` as label.

    Args:
        name: name of the format.
        pairs: the pairs.
        request: the reader's input.
        words: the label words that the tool declares, which get ids in this order. Other words that are used follow in
            alphabetical order.
        colors: the RGB colour of each label word, as far as known.
        notes: lines for the user.
        attributes: further attributes of the layout.
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
        label_map_of(name, kept, colors),
        name,
        load,
        labels,
        lambda: lane_map_of_words(labels, ignored=ignored),
        unused,
        _lanes if any(_lanes(pair) for pair in pairs) else None,
        tuple(notes),
        sum(len(pair.label.shapes) for pair in pairs),
        **attributes,
    )


def _size_of(pair: Pair) -> Size:
    """Return the size of the mask to draw: the declared size, which must be the picture's, as shown or as stored."""
    shown, orientation = upright_size(pair.image)
    stored = orientation.size(shown)
    declared: Size = pair.label.size or shown
    if declared not in (shown, stored):
        raise InputError(
            f"{pair.label.where}: is {declared[0]}x{declared[1]}, but its picture {pair.image.name} is "
            f"{shown[0]}x{shown[1]}; they must have the same size"
        )
    return declared


def _lanes(pair: Pair) -> list[LaneLine]:
    """Return the lines of a drawing whose label names a lane."""
    lines = [s for s in pair.label.shapes if s.kind == "line" and len(s.points) > 1 and reads_like_a_lane(s.label)]
    return [LaneLine(near_to_far(s.points), s.label) for s in lines]


def near_to_far(points: np.ndarray) -> np.ndarray:
    """Return (N, 2) x, y in the order that begins with the end nearer to the camera, which is the lower one."""
    return points if points[0, 1] >= points[-1, 1] else points[::-1]
