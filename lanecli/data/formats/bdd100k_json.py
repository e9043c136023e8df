"""BDD100K's labels as JSON: ``poly2d`` of lane marks and drivable areas, in each of the three forms they were given in.

A file is a list of pictures (``{"name", "labels": [{"category", "attributes", "poly2d"}]}``) or one picture
(``{"name", "frames": [{"objects": […]}]}``). A poly2d is ``{"vertices", "types", "closed"}`` or ``[x, y, type]``
points; types C are the control points of cubic Bézier curves (BDD100K documentation, label format).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from lanecli.data.layout import LaneLine, Pair
from lanecli.data.orientation import upright_size
from lanecli.data.rasterise import blank, draw_line, fill_polygon
from lanecli.data.shapes import LINE_WIDTH, Tally, from_near, points_of
from lanecli.errors import InputError
from lanecli.labelmaps.bdd100k import CATEGORIES
from lanecli.labels import LabelMap
from lanecli.textfiles import read_json

NOTHING = 255
_NO_AREA = 2
_CURVE_POINTS = 16
_DASHED, _ACROSS = 1 << 4, 1 << 5
_CATEGORY = {name: number for number, (name, _) in enumerate(CATEGORIES)}
_AREAS = {
    "direct": 0,
    "area/drivable": 0,
    "drivable": 0,
    "alternative": 1,
    "area/alternative": 1,
}


@dataclass(frozen=True)
class Marks:
    """One labelled line or area: the value of its pixels in the official masks, and (N, 2) x, y in pixel centres."""

    value: int
    points: np.ndarray
    category: str


def marks_of_file(path: Path, task: str, tally: Tally) -> Iterator[tuple[str, list[Marks]]]:
    """(stem of the picture, its marks of a task) of every picture a file speaks of.

    Raises:
        InputError: not readable as JSON, or a label that is malformed; a file of other things gives nothing.
    """
    data = read_json(path)
    pictures = data if isinstance(data, list) else [data]
    for number, picture in enumerate(pictures, 1):
        if not isinstance(picture, dict) or "name" not in picture:
            continue
        where = f"{path}: picture {number}"
        try:
            stem = PurePosixPath(str(picture["name"]).replace("\\", "/")).name
            objects = picture.get("labels")
            if objects is None:
                objects = [o for frame in picture.get("frames") or () for o in frame.get("objects") or ()]
            marks = [m for o in objects or () for m in _marks(o, task, where, tally)]
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{where}: no BDD100K label ({type(error).__name__}: {error!s:.200})") from error
        yield stem.removesuffix(".jpg").removesuffix(".png"), marks


def _marks(label: Mapping[str, Any], task: str, where: str, tally: Tally) -> list[Marks]:
    category = str(label.get("category", ""))
    attributes = label.get("attributes") or {}
    value = _lane_value(category, attributes) if task == "lane" else _area_value(category, attributes)
    if value is None:
        return []
    lines = label.get("poly2d")
    if not lines:
        tally.left_out["labels without a poly2d"] += 1
        return []
    # the form of one picture has the points themselves here, that of lists an object per line
    parts = [lines] if not isinstance(lines[0], dict) else lines
    return [Marks(value, _points(part, where), category) for part in parts]


def _lane_value(category: str, attributes: Mapping[str, Any]) -> int | None:
    """The byte of the official masks: category, and bits for dashed and for lines across the road."""
    kind = category.removeprefix("lane/") if category.startswith("lane/") else None
    if category == "lane":
        kind = str(attributes.get("laneType", attributes.get("laneTypes", "")))
    kind = category if kind is None and category in _CATEGORY else kind
    if kind is None:
        return None
    if kind not in _CATEGORY:
        raise InputError(f"'{kind:.40}' is no category of lane marks")
    style = str(attributes.get("laneStyle", attributes.get("style", "")))
    direction = str(attributes.get("laneDirection", attributes.get("direction", "")))
    return _CATEGORY[kind] | (_DASHED if style == "dashed" else 0) | (_ACROSS if direction == "vertical" else 0)


def _area_value(category: str, attributes: Mapping[str, Any]) -> int | None:
    if category == "drivable area":
        category = str(attributes.get("areaType", ""))
    return _AREAS.get(category)


def _points(part: Any, where: str) -> np.ndarray:
    """(N, 2) x, y of a poly2d with its curves drawn out."""
    if isinstance(part, dict):
        vertices, types = part["vertices"], str(part.get("types") or "L" * len(part["vertices"]))
    else:
        vertices, types = [point[:2] for point in part], "".join(str(point[2]) for point in part)
    points = points_of(vertices, where)
    if len(types) != len(points):
        raise InputError(f"{where}: {len(types)} types of {len(points)} points")
    drawn: list[np.ndarray] = []
    at = 0
    while at < len(points):
        # a curve is two control points and its end, from the point before
        if types[at] == "C" and drawn and at + 2 < len(points):
            drawn += _curve(drawn[-1], *points[at : at + 3])
            at += 3
        else:
            drawn.append(points[at])
            at += 1
    return np.array(drawn).reshape(-1, 2)


def _curve(start: np.ndarray, first: np.ndarray, second: np.ndarray, end: np.ndarray) -> list[np.ndarray]:
    """Points along a cubic Bézier curve, without its start."""
    t = np.linspace(0, 1, _CURVE_POINTS + 1)[1:, None]
    return list((1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * first + 3 * (1 - t) * t**2 * second + t**3 * end)


def draw_lanes(pair: Pair, label_map: LabelMap, width: int | None = None) -> np.ndarray:
    """(H, W) bit field of a pair's lane marks, as the official masks hold it; 255 where there is nothing."""
    mask = blank(upright_size(pair.image)[0], str(pair.image))
    mask[:] = NOTHING
    for mark in pair.label:
        draw_line(mask, mark.points, mark.value, width or LINE_WIDTH)
    return mask


def draw_areas(pair: Pair, label_map: LabelMap) -> np.ndarray:
    """(H, W) ids of a pair's drivable areas: 0 direct, 1 alternative, 2 background."""
    mask = blank(upright_size(pair.image)[0], str(pair.image))
    mask[:] = _NO_AREA
    for mark in pair.label:
        fill_polygon(mask, mark.points, mark.value)
    return mask


def lanes_of(pair: Pair) -> list[LaneLine]:
    """The painted lines along the road among a pair's marks."""
    along = [m for m in pair.label if not m.value & _ACROSS and m.value & 7 not in (0, 4) and len(m.points) > 1]
    return [LaneLine(from_near(m.points), m.category) for m in along]
