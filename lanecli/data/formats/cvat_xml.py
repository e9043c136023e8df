"""The XML of "CVAT for images 1.1": an element per picture with polygons, polylines, boxes, ellipses and RLE masks.

Coordinates have (0, 0) at the top-left pixel's outer corner; shapes are drawn by rising z_order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

import numpy as np

from lanecli.data.archive import read_xml
from lanecli.data.manifest import safe_relative
from lanecli.data.rasterise import from_corners, runs_to_mask
from lanecli.data.shapes import Drawing, Shape
from lanecli.errors import InputError
from lanecli.media.picture_header import MAX_PIXELS

_IGNORED_TAGS = ("tag", "points", "skeleton", "cuboid")
_ELLIPSE_POINTS = 72


@dataclass(frozen=True)
class Annotations:
    """What an annotations.xml holds: (name, subset, drawing) per picture, label words and colours, notes."""

    pictures: tuple[tuple[PurePosixPath, str, Drawing], ...]
    words: tuple[str, ...]
    colors: dict[str, tuple[int, int, int]]
    notes: tuple[str, ...]


def read_annotations(path: Path) -> Annotations:
    """Read it. Raises InputError for CVAT's video form, malformed shapes, or names that lead outside."""
    root = read_xml(path)
    if root.find("track") is not None:
        raise InputError(f"{path}: is 'CVAT for video'; export the task as 'CVAT for images 1.1'")
    words, colors = [], {}
    for label in root.iter("label"):
        word, color = label.findtext("name"), label.findtext("color") or ""
        if word:
            words.append(word)
            if len(color) == 7 and color.startswith("#"):
                colors[word] = (int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16))
    skipped: Counter[str] = Counter()
    pictures = []
    for image in root.iter("image"):
        name = image.get("name", "")
        where = f"{path}: picture '{name}'"
        try:
            size = (int(image.attrib["width"]), int(image.attrib["height"]))
            shapes = _shapes(image, where, skipped)
            pictures.append((safe_relative(name), image.get("subset", ""), Drawing(size, shapes, where)))
        except (KeyError, ValueError) as error:
            raise InputError(f"{where}: is malformed ({type(error).__name__}: {error})") from error
    if not pictures:
        raise InputError(f"{path}: holds no picture; is it 'CVAT for images 1.1'?")
    notes = tuple(f"{count} '{tag}' shapes have no area and are left out" for tag, count in skipped.items())
    return Annotations(tuple(pictures), tuple(words), colors, notes)


def _shapes(image: Element, where: str, skipped: Counter[str]) -> tuple[Shape, ...]:
    ordered = sorted(image, key=lambda e: int(e.get("z_order", 0)))
    shapes = []
    for element in ordered:
        if element.tag in _READERS:
            shapes.append(_READERS[element.tag](element, element.attrib["label"], where))
        elif element.tag in _IGNORED_TAGS:
            skipped[element.tag] += 1
    return tuple(shapes)


def _points(element: Element) -> np.ndarray:
    pairs = [pair.split(",") for pair in element.attrib["points"].split(";")]
    return from_corners([(float(x), float(y)) for x, y in pairs])


def _polygon(element: Element, label: str, where: str) -> Shape:
    return Shape(label, "polygon", _points(element))


def _polyline(element: Element, label: str, where: str) -> Shape:
    return Shape(label, "line", _points(element))


def _turned(points: np.ndarray, center: np.ndarray, degrees: float) -> np.ndarray:
    """Clockwise on the screen, as CVAT turns its boxes and ellipses."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return (points - center) @ turn + center


def _box(element: Element, label: str, where: str) -> Shape:
    left, top, right, bottom = (float(element.attrib[k]) for k in ("xtl", "ytl", "xbr", "ybr"))
    corners = from_corners([(left, top), (right, top), (right, bottom), (left, bottom)])
    return Shape(label, "polygon", _turned(corners, corners.mean(axis=0), float(element.get("rotation", 0))))


def _ellipse(element: Element, label: str, where: str) -> Shape:
    x, y, rx, ry = (float(element.attrib[k]) for k in ("cx", "cy", "rx", "ry"))
    angle = np.linspace(0, 2 * np.pi, _ELLIPSE_POINTS, endpoint=False)
    outline = from_corners(np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1))
    return Shape(label, "polygon", _turned(outline, np.array([x, y]) - 0.5, float(element.get("rotation", 0))))


def _mask(element: Element, label: str, where: str) -> Shape:
    left, top, width, height = (int(element.attrib[k]) for k in ("left", "top", "width", "height"))
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise InputError(f"{where}: a mask of {width}x{height} is no size")
    runs = [int(v) for v in element.attrib["rle"].split(",")]
    patch = runs_to_mask(runs, width * height, where).reshape(height, width)
    return Shape(label, "patch", np.array([[left, top]], float), patch)


_READERS: dict[str, Callable[[Element, str, str], Shape]] = {
    "polygon": _polygon,
    "polyline": _polyline,
    "box": _box,
    "ellipse": _ellipse,
    "mask": _mask,
}
