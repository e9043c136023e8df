"""LabelMe: a JSON file beside each picture, with polygons, lines, rectangles, circles and masks.

Coordinates have (0, 0) at the top-left pixel's outer corner. Later shapes lie on top. `imagePath` may hold a folder
or Windows separators from where it was labelled; the picture is looked for beside the JSON, or below `--images`.
"""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path, PureWindowsPath
from typing import Any

import cv2
import numpy as np

from lanecli.data.layout import Layout, Pair, Request, files_below
from lanecli.data.rasterise import from_corners
from lanecli.data.shapes import Drawing, Shape, layout_of
from lanecli.data.words import sequence_of
from lanecli.errors import InputError
from lanecli.media.pictures import PICTURE_SUFFIXES

_KINDS = {"polygon": "polygon", "line": "line", "linestrip": "line", "rectangle": "polygon", "circle": "circle"}
_WITHOUT_AREA = ("point", "points")


def read(request: Request) -> Layout:
    """Pair each JSON file with its picture."""
    root, base = request.source, request.images or request.source
    pairs, missing, points = [], [], 0
    for path in files_below(root, (".json",)):
        data = _load(path)
        if not isinstance(data, dict) or "shapes" not in data:
            continue
        relative = path.relative_to(root)
        image = _picture(data, path, base / relative.parent)
        if image is None:
            missing.append(path)
            continue
        name = relative.with_suffix("").as_posix()
        drawing, left_out = _drawing(data, path)
        points += left_out
        pairs.append(Pair(image, name, sequence_of(name), drawing))
    if not pairs:
        raise InputError(
            f"{root}: no LabelMe JSON with its picture beside it ({len(missing)} without); give --images DIR"
        )
    notes = []
    if missing:
        notes.append(
            f"{len(missing)} JSON files have no picture beside them and are left out, the first is {missing[0]}"
        )
    if points:
        notes.append(f"{points} points have no area and are left out")
    return layout_of("labelme", pairs, request, (), {}, notes)


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not readable as JSON: {error}") from error


def _picture(data: dict[str, Any], path: Path, folder: Path) -> Path | None:
    """Only the last part of `imagePath` counts: the folders in it are those of another machine."""
    named = folder / PureWindowsPath(str(data.get("imagePath") or "")).name
    if named.is_file() and named.suffix.lower() in PICTURE_SUFFIXES:
        return named
    return next((p for s in sorted(PICTURE_SUFFIXES) if (p := folder / f"{path.stem}{s}").is_file()), None)


def _drawing(data: dict[str, Any], path: Path) -> tuple[Drawing, int]:
    shapes, without_area = [], 0
    try:
        size = (int(data["imageWidth"]), int(data["imageHeight"]))
        for number, item in enumerate(data["shapes"], 1):
            where = f"{path} shape {number}"
            kind = item.get("shape_type") or "polygon"
            if kind in _WITHOUT_AREA:
                without_area += 1
                continue
            points = np.array(item["points"], float).reshape(-1, 2)
            if kind == "mask":
                shapes.append(_patch(item, points, where))
                continue
            if kind not in _KINDS:
                raise InputError(f"{where}: shape type '{kind}' is not known")
            if kind == "rectangle":
                (x0, y0), (x1, y1) = points
                points = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
            if kind == "circle" and len(points) != 2:
                raise InputError(f"{where}: a circle is its centre and a point on it")
            shapes.append(Shape(str(item["label"]), _KINDS[kind], from_corners(points)))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: no LabelMe file ({type(error).__name__}: {error})") from error
    return Drawing(size, tuple(shapes), str(path)), without_area


def _patch(item: dict[str, Any], points: np.ndarray, where: str) -> Shape:
    """A mask shape: a picture of the box whose corner pixels its two points name."""
    try:
        data = np.frombuffer(base64.b64decode(item["mask"], validate=True), np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if data.size else None
    except (binascii.Error, cv2.error) as error:
        raise InputError(f"{where}: its mask is no picture ({error})") from error
    if picture is None:
        raise InputError(f"{where}: its mask is no picture")
    return Shape(str(item["label"]), "patch", points[:1], picture > 0)
