"""LabelMe: a JSON file beside each picture, with polygons, lines, rectangles, circles and masks.

(0, 0) is the outer corner of the top-left pixel. Later shapes are drawn on top. `imagePath` may have the folders and
separators of another machine; the picture is looked for in the dataset, or it is embedded in the JSON file. Pixels of
shapes labelled ``__ignore__`` are ignored.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path, PureWindowsPath
from typing import Any

import cv2
import numpy as np

from lanecli import atomic
from lanecli.data.layout import Layout, Pair, Request, files_below
from lanecli.data.paths import FileReference, Finder, relative_to_root
from lanecli.data.shapes import Drawing, Shape, Tally, declared_size, layout_from_drawings, to_pixel_centres
from lanecli.data.words import sequence_of
from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.media.picture_header import check_picture
from lanecli.media.pictures import PICTURE_SUFFIXES
from lanecli.textfiles import read_json

_KINDS = {
    "polygon": "polygon",
    "rotation": "polygon",  # the four corners of a rotated rectangle in X-AnyLabeling
    "rectangle": "polygon",
    "line": "line",
    "linestrip": "line",
    "circle": "circle",
}
_WITHOUT_AREA = ("point", "points")
_SUFFIX = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "WEBP": ".webp", "TIFF": ".tif"}


def read(request: Request) -> Layout:
    """Pair each JSON file with its picture."""
    root = request.source
    if root.is_file():
        raise InputError(f"{root}: give the folder that holds the JSON files and their pictures")
    base = request.images or root
    finder, tally = Finder(base), Tally()
    found: list[tuple[Path, dict[str, Any]]] = []
    for path in files_below(root, (".json",)):
        data = read_json(path)
        if isinstance(data, dict) and isinstance(data.get("shapes"), list):
            extracted = _extract_picture(data, path, root, finder, request)
            found.append((path, {**data, "imageData": extracted}))  # all embedded pictures might not fit in memory
    pairs: list[Pair] = []
    images = finder.find_all([_picture_reference(data, path, root, finder) for path, data in found])
    for (path, data), beside in zip(found, images, strict=True):
        image = beside or data["imageData"]
        if image is None:
            tally.missing.append(str(path))
            continue
        name = path.relative_to(root).with_suffix("").as_posix()
        pairs.append(Pair(image, name, sequence_of(name), _drawing(data, path, tally)))
    if not pairs:
        raise InputError(
            f"{root}: holds no LabelMe JSON file with a picture beside it ({len(tally.missing)} have none); give "
            "--images DIR"
        )
    notes = []
    if tally.missing:
        notes.append(
            f"{len(tally.missing)} JSON files have no picture and are left out, the first is {tally.missing[0]}"
        )
    used = {pair.image for pair in pairs}
    alone = [path for path in files_below(base) if path not in used]
    if alone:
        notes.append(f"{len(alone)} pictures without a JSON file left out, the first is {alone[0]}")
    words = sorted({str(item.get("label")) for _, data in found for item in data["shapes"]})
    return layout_from_drawings("labelme", pairs, request, words, {}, notes, left_out=tally.left_out, guessed=True)


def _picture_reference(data: dict[str, Any], path: Path, root: Path, finder: Finder) -> FileReference:
    """Return a reference to the picture of a JSON file: its `imagePath`, or else a picture with the file's name."""
    folder, where, image_path = relative_to_root(path, root), f"{path}: imagePath", data.get("imagePath")
    if isinstance(image_path, str) and PureWindowsPath(image_path).suffix.lower() in PICTURE_SUFFIXES:
        last = PureWindowsPath(image_path).name
        for candidate in (image_path, last):
            if finder.find(candidate, where, folder) is not None:
                return FileReference(candidate, where, folder)
    else:
        image_path = None
    own = (f"{path.stem}{suffix}" for suffix in sorted(PICTURE_SUFFIXES))
    beside = next((name for name in own if finder.find(name, where, folder) is not None), None)
    return FileReference(beside or image_path or f"{path.stem}.jpg", where, folder)


def _extract_picture(data: dict[str, Any], path: Path, root: Path, finder: Finder, request: Request) -> Path | None:
    """Write the picture that `imageData` holds to a file and return it; None if there is none or it is not needed."""
    if not isinstance(data.get("imageData"), str) or not data["imageData"] or request.unpack_to is None:
        return None
    if finder.find(*_picture_reference(data, path, root, finder)) is not None:
        return None
    try:
        content = base64.b64decode(data["imageData"])
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{path}: imageData is not a picture ({error})") from error
    suffix = _SUFFIX.get(check_picture(content, f"{path}: imageData").kind)
    if suffix is None:
        raise InputError(f"{path}: imageData is a picture of an unknown kind")
    target = request.unpack_to / path.relative_to(root).with_suffix(suffix)
    target.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(target, content)
    return target


def _drawing(data: dict[str, Any], path: Path, tally: Tally) -> Drawing:
    shapes = []
    try:
        size = declared_size(data.get("imageWidth"), data.get("imageHeight"), str(path))
        for number, item in enumerate(data["shapes"], 1):
            shape = _shape(item, f"{path} shape {number}", tally)
            if shape is not None:
                shapes.append(shape)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: not a LabelMe file ({type(error).__name__}: {error})") from error
    except InputError as error:
        if not str(error).startswith(f"{path}: "):
            raise
        raise InputError(f"{path}: not a LabelMe file ({str(error).removeprefix(f'{path}: ')})") from error
    return Drawing(size, tuple(shapes), str(path))


def _shape(item: dict[str, Any], where: str, tally: Tally) -> Shape | None:
    kind = item.get("shape_type") or "polygon"
    if kind in _WITHOUT_AREA:
        tally.left_out["points, which have no area"] += 1
        return None
    if kind == "mask":
        return _patch(item, to_pixel_centres(item["points"], where), where)
    if kind not in _KINDS:
        raise InputError(f"{where}: the shape type '{kind!s:.30}' is unknown")
    if any(len(point) != 2 for point in item["points"]):
        raise InputError(f"{where}: not a LabelMe file, since a point must be x and y")
    points = to_pixel_centres(item["points"], where)
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        points = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    if kind == "circle" and len(points) != 2:
        raise InputError(f"{where}: a circle must have two points, its centre and one on it")
    if _KINDS[kind] == "polygon" and len(points) < 3:
        tally.left_out["polygons of fewer than three points"] += 1
        return None
    if _KINDS[kind] == "line" and len(points) < 2:
        tally.left_out["lines of fewer than two points"] += 1
        return None
    return Shape(str(item["label"]), _KINDS[kind], points)


def _patch(item: dict[str, Any], points: np.ndarray, where: str) -> Shape:
    """Return the patch of a mask shape: a picture of the box that has its two points as corner pixels."""
    try:
        content = base64.b64decode(item["mask"], validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise InputError(f"{where}: its mask is not a picture ({error})") from error
    if not content:
        raise InputError(f"{where}: its mask is not a picture")
    extent: Size = check_picture(content, f"{where}: its mask is not a picture", whole=False).size

    def patch() -> np.ndarray:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
        if picture is None:
            raise InputError(f"{where}: its mask is not a picture")
        return picture > 0

    return Shape(str(item["label"]), "patch", points[:1] + 0.5, patch, extent)
