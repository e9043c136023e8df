"""The XML of "CVAT for images 1.1": an element per picture with polygons, polylines, boxes, ellipses and RLE masks.

(0, 0) is the outer corner of the top-left pixel. Shapes are drawn in ascending z_order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from lanecli.data.archive import read_xml
from lanecli.data.rasterise import runs_to_mask
from lanecli.data.shapes import Drawing, Shape, Tally, declared_size, to_pixel_centres
from lanecli.errors import InputError

_WITHOUT_AREA = ("tag", "points", "skeleton", "cuboid")
_ELLIPSE_POINTS = 72


@dataclass(frozen=True)
class Picture:
    """An annotated picture: its name, subset and task (empty if the file has only one task), and its shapes."""

    name: str
    subset: str
    task: str
    drawing: Drawing


@dataclass(frozen=True)
class Annotations:
    """The contents of an annotations.xml: pictures, and label words in the task's order with their colours."""

    pictures: tuple[Picture, ...]
    words: tuple[str, ...]
    colors: dict[str, tuple[int, int, int]]


def read_annotations(path: Path, tally: Tally) -> Annotations:
    """Read an annotations.xml.

    Args:
        path: the file.
        tally: receives the number of annotations that are left out.

    Raises:
        InputError: the file is "CVAT for video", has no pictures, or is malformed.
    """
    root = read_xml(path)
    if root.find("track") is not None:
        raise InputError(f"{path}: is 'CVAT for video'; export the task as 'CVAT for images 1.1'")
    words, colors = [], {}
    for label in root.iter("label"):
        word, color = label.findtext("name"), label.findtext("color") or ""
        if word:
            words.append(word)
            if (rgb := _color(color)) is not None:
                colors[word] = rgb
    pictures = []
    for image in root.iter("image"):
        name = image.get("name", "")
        where = f"{path}: picture '{name:.200}'"
        try:
            size = declared_size(image.get("width"), image.get("height"), where)
            drawing = Drawing(size, _shapes(image, where, tally), where)
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise InputError(f"{where}: is malformed ({type(error).__name__}: {error})") from error
        pictures.append(Picture(name, image.get("subset", ""), image.get("task_id", ""), drawing))
    if not pictures:
        raise InputError(f"{path}: holds no picture; is this 'CVAT for images 1.1'?")
    return Annotations(tuple(pictures), tuple(words), colors)


def _color(text: str) -> tuple[int, int, int] | None:
    try:
        value = int(text.removeprefix("#"), 16) if len(text) == 7 and text.startswith("#") else -1
    except ValueError:
        return None
    return (value >> 16, value >> 8 & 255, value & 255) if value >= 0 else None


def _shapes(image: Element, where: str, tally: Tally) -> tuple[Shape, ...]:
    # tools that are not CVAT write z_order="0.0"
    ordered = sorted(image, key=lambda e: _number(e.get("z_order", "0"), where))
    shapes = []
    for element in ordered:
        if element.tag in _READERS:
            shape = _READERS[element.tag](element, element.attrib["label"], where)
            if shape.kind == "polygon" and len(shape.points) < 3:
                tally.left_out["polygons of fewer than three points"] += 1
            elif shape.kind == "line" and len(shape.points) < 2:
                tally.left_out["polylines of fewer than two points"] += 1
            else:
                shapes.append(shape)
        elif element.tag in _WITHOUT_AREA:
            tally.left_out[f"'{element.tag}' shapes, which have no area"] += 1
    return tuple(shapes)


def _number(text: str, where: str) -> float:
    value = float(text)
    if not abs(value) <= 1e7:
        raise InputError(f"{where}: is malformed ({text} is not a finite number near a picture)")
    return value


def _points(element: Element, where: str) -> np.ndarray:
    pairs = [pair.split(",") for pair in element.attrib["points"].split(";")]
    return to_pixel_centres([(float(x), float(y)) for x, y in pairs], where)


def _polygon(element: Element, label: str, where: str) -> Shape:
    return Shape(label, "polygon", _points(element, where))


def _polyline(element: Element, label: str, where: str) -> Shape:
    return Shape(label, "line", _points(element, where))


def _turned(points: np.ndarray, center: np.ndarray, degrees: float) -> np.ndarray:
    """Rotate points clockwise on the screen, as CVAT rotates its boxes and ellipses."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return (points - center) @ turn + center


def _box(element: Element, label: str, where: str) -> Shape:
    left, top, right, bottom = (float(element.attrib[k]) for k in ("xtl", "ytl", "xbr", "ybr"))
    corners = to_pixel_centres([(left, top), (right, top), (right, bottom), (left, bottom)], where)
    return Shape(label, "polygon", _turned(corners, corners.mean(axis=0), _number(element.get("rotation", "0"), where)))


def _ellipse(element: Element, label: str, where: str) -> Shape:
    x, y, rx, ry = (_number(element.attrib[k], where) for k in ("cx", "cy", "rx", "ry"))
    angle = np.linspace(0, 2 * np.pi, _ELLIPSE_POINTS, endpoint=False)
    outline = to_pixel_centres(np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1), where)
    degrees = _number(element.get("rotation", "0"), where)
    return Shape(label, "polygon", _turned(outline, np.array([x, y]) - 0.5, degrees))


def _mask(element: Element, label: str, where: str) -> Shape:
    left, top = (_number(element.attrib[k], where) for k in ("left", "top"))
    extent = declared_size(element.attrib["width"], element.attrib["height"], where)
    if extent is None:
        raise InputError(f"{where}: a mask has no size")
    text = element.attrib["rle"]

    def patch() -> np.ndarray:
        try:
            runs = np.array(text.split(","), np.int64)
        except (ValueError, OverflowError) as error:
            raise InputError(f"{where}: a mask's run lengths are not numbers") from error
        return runs_to_mask(runs, extent[0] * extent[1], where).reshape(extent[::-1])

    return Shape(label, "patch", np.array([[left, top]]), patch, extent)


_READERS: dict[str, Callable[[Element, str, str], Shape]] = {
    "polygon": _polygon,
    "polyline": _polyline,
    "box": _box,
    "ellipse": _ellipse,
    "mask": _mask,
}
