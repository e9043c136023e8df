"""BDD100K's labels as JSON: the ``poly2d`` of lane marks and drivable areas, in all the forms they are published in.

A file is a list of pictures (``{"name", "labels": [{"category", "attributes", "poly2d"}]}``) or one picture
(``{"name", "frames": [{"objects": […]}]}``). A poly2d is ``{"vertices", "types", "closed"}`` or a list of points
``[x, y, type]``. Points of type C are the control points of cubic Bézier curves (BDD100K documentation, label format).
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
from lanecli.data.shapes import LINE_WIDTH, Tally, near_to_far, to_pixel_centres
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
    """One labelled line or area.

    Attributes:
        value: the value of its pixels in the official masks.
        points: (N, 2) x, y in pixel-centre coordinates.
        category: its category.
    """

    value: int
    points: np.ndarray
    category: str


def marks_of_file(path: Path, task: str, tally: Tally) -> Iterator[tuple[str, list[Marks]]]:
    """Yield (stem, marks) for every picture in a file. A JSON file with other contents yields nothing.

    Args:
        path: the JSON file.
        task: ``"lane"`` or ``"drivable"``.
        tally: receives the number of labels that are left out.

    Raises:
        InputError: the file is not readable as JSON, or a label is malformed.
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
            raise InputError(f"{where}: not a BDD100K label ({type(error).__name__}: {error!s:.200})") from error
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
    # files for one picture have the points here, files for many have an object for each line
    parts = [lines] if not isinstance(lines[0], dict) else lines
    return [Marks(value, _points(part, where), category) for part in parts]


def _lane_value(category: str, attributes: Mapping[str, Any]) -> int | None:
    """Return the byte in the official masks: the category, and bits for dashed lines and for lines across the road."""
    kind = category.removeprefix("lane/") if category.startswith("lane/") else None
    if category == "lane":
        kind = str(attributes.get("laneType", attributes.get("laneTypes", "")))
    kind = category if kind is None and category in _CATEGORY else kind
    if kind is None:
        return None
    if kind not in _CATEGORY:
        raise InputError(f"'{kind:.40}' is not a category of lane marks")
    style = str(attributes.get("laneStyle", attributes.get("style", "")))
    direction = str(attributes.get("laneDirection", attributes.get("direction", "")))
    return _CATEGORY[kind] | (_DASHED if style == "dashed" else 0) | (_ACROSS if direction == "vertical" else 0)


def _area_value(category: str, attributes: Mapping[str, Any]) -> int | None:
    if category == "drivable area":
        category = str(attributes.get("areaType", ""))
    return _AREAS.get(category)


def _points(part: Any, where: str) -> np.ndarray:
    """Return (N, 2) x, y of a poly2d, with points along its curves."""
    if isinstance(part, dict):
        vertices, types = part["vertices"], str(part.get("types") or "L" * len(part["vertices"]))
    else:
        vertices, types = [point[:2] for point in part], "".join(str(point[2]) for point in part)
    points = to_pixel_centres(vertices, where)
    if len(types) != len(points):
        raise InputError(f"{where}: has {len(types)} types for {len(points)} points")
    drawn: list[np.ndarray] = []
    at = 0
    while at < len(points):
        # a curve starts at the previous point and has two control points and an end
        if types[at] == "C" and drawn and at + 2 < len(points):
            drawn += _curve(drawn[-1], *points[at : at + 3])
            at += 3
        else:
            drawn.append(points[at])
            at += 1
    return np.array(drawn).reshape(-1, 2)


def _curve(start: np.ndarray, first: np.ndarray, second: np.ndarray, end: np.ndarray) -> list[np.ndarray]:
    """Return points along a cubic Bézier curve, without its start."""
    t = np.linspace(0, 1, _CURVE_POINTS + 1)[1:, None]
    return list((1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * first + 3 * (1 - t) * t**2 * second + t**3 * end)


def draw_lanes(pair: Pair, label_map: LabelMap, width: int | None = None) -> np.ndarray:
    """Draw a pair's lane marks as (H, W) uint8 bit fields like those of the official masks; 255 is background."""
    mask = blank(upright_size(pair.image)[0], str(pair.image))
    mask[:] = NOTHING
    for mark in pair.label:
        draw_line(mask, mark.points, mark.value, width or LINE_WIDTH)
    return mask


def draw_areas(pair: Pair, label_map: LabelMap) -> np.ndarray:
    """Draw a pair's drivable areas as (H, W) uint8 ids: 0 direct, 1 alternative, 2 background."""
    mask = blank(upright_size(pair.image)[0], str(pair.image))
    mask[:] = _NO_AREA
    for mark in pair.label:
        fill_polygon(mask, mark.points, mark.value)
    return mask


def lanes_of(pair: Pair) -> list[LaneLine]:
    """Return those of a pair's marks that are painted lines along the road."""
    along = [m for m in pair.label if not m.value & _ACROSS and m.value & 7 not in (0, 4) and len(m.points) > 1]
    return [LaneLine(near_to_far(m.points), m.category) for m in along]
