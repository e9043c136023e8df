"""Writes labels to be corrected in an annotation tool: CVAT, LabelMe and COCO files, which `prepare` reads exactly.

Regions are written as run lengths or small mask pictures, one for each connected component, because polygons leave gaps
of a pixel between neighbours and cannot have holes. Labels are drawn in the order given, later ones on top.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import cv2
import numpy as np

from lanecli import atomic
from lanecli.errors import InputError, did_you_mean
from lanecli.geometry import Size

FORMATS = ("cvat", "labelme", "coco")


@dataclass(frozen=True)
class Region:
    """One connected region.

    Attributes:
        label: the label of the region.
        left, top: the corner of its bounding box, in pixels.
        patch: (h, w) bool, the pixels of the region in its bounding box.
    """

    label: str
    left: int
    top: int
    patch: np.ndarray


@dataclass(frozen=True)
class Line:
    """A polyline with a label; `points` are (N, 2) x, y, with the centre of the top left pixel at (0, 0)."""

    label: str
    points: np.ndarray


@dataclass(frozen=True)
class Annotation:
    """The labels of one picture.

    Attributes:
        name: the picture's path below the folder of pictures, with forward slashes.
        size: (width, height).
        regions: the regions in the order they are drawn.
        lines: the lines in the order they are drawn, below the regions.
    """

    name: str
    size: Size
    regions: tuple[Region, ...] = ()
    lines: tuple[Line, ...] = field(default=())


def regions_of(mask: np.ndarray, label: str, smallest: int = 1) -> list[Region]:
    """Return the connected components of a mask.

    Args:
        mask: (H, W) bool.
        label: the label of all regions.
        smallest: components with fewer pixels are left out.
    """
    count, numbers, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    regions = []
    for number in range(1, count):
        left, top, width, height, pixels = (int(v) for v in boxes[number])
        if pixels >= smallest:
            patch = numbers[top : top + height, left : left + width] == number
            regions.append(Region(label, left, top, patch))
    return regions


def write_annotations(
    kind: str,
    folder: Path,
    pictures: Sequence[Annotation],
    labels: Sequence[str],
    colors: Sequence[tuple[int, int, int]],
) -> list[Path]:
    """Write annotations beside the pictures they belong to.

    Args:
        kind: one of :data:`FORMATS`.
        folder: the folder that holds the pictures in ``images/``.
        pictures: the labels of each picture.
        labels: every label of the task, used or not, since a tool refuses labels that its task does not have.
        colors: the RGB colour of each label.

    Returns:
        The files that were written; the last one is the list of labels to paste into the tool.

    Raises:
        InputError: the format does not exist.
    """
    if kind not in FORMATS:
        raise InputError(f"--export takes {', '.join(FORMATS)}, not '{kind}'{did_you_mean(kind, FORMATS)}")
    writers = {"cvat": _write_cvat, "labelme": _write_labelme, "coco": _write_coco}
    files = writers[kind](folder, pictures, labels, colors)
    if kind == "labelme":
        listing = folder / "labels.txt"
        atomic.write(listing, "".join(f"{label}\n" for label in ("__ignore__", *labels)))
    else:
        listing = folder / "labels.json"
        written = [{"name": n, "color": _hex(c), "attributes": []} for n, c in zip(labels, colors, strict=True)]
        atomic.write(listing, json.dumps(written, ensure_ascii=False, indent=2) + "\n")
    return [*files, listing]


def _hex(color: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def runs(values: np.ndarray) -> list[int]:
    """Return the lengths of alternating runs in a flat bool array; the first run is of False and may have length 0.

    Example:
        >>> runs(np.array([True, True, False, True]))
        [0, 2, 1, 1]
    """
    edges = np.flatnonzero(np.diff(values.astype(np.int8))) + 1
    lengths = np.diff(np.concatenate([[0], edges, [values.size]])).tolist()
    return [0, *lengths] if values.size and values[0] else lengths


def _write_cvat(
    folder: Path, pictures: Sequence[Annotation], labels: Sequence[str], colors: Sequence[tuple[int, int, int]]
) -> list[Path]:
    """Write ``annotations.xml`` in the format "CVAT for images 1.1"."""
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    listed = SubElement(SubElement(SubElement(root, "meta"), "task"), "labels")
    for label, color in zip(labels, colors, strict=True):
        entry = SubElement(listed, "label")
        SubElement(entry, "name").text = label
        SubElement(entry, "color").text = _hex(color)
        SubElement(entry, "attributes")
    for number, picture in enumerate(pictures):
        width, height = (str(side) for side in picture.size)
        image = SubElement(root, "image", id=str(number), name=picture.name, width=width, height=height)
        common = {"source": "auto", "occluded": "0"}
        for order, line in enumerate(picture.lines):
            # CVAT's origin is the corner of the first pixel
            points = ";".join(f"{x + 0.5:.2f},{y + 0.5:.2f}" for x, y in line.points)
            SubElement(image, "polyline", {"label": line.label, **common, "points": points, "z_order": str(order)})
        for order, region in enumerate(picture.regions, len(picture.lines)):
            rows, columns = region.patch.shape
            box = {"left": region.left, "top": region.top, "width": columns, "height": rows, "z_order": order}
            rle = ", ".join(map(str, runs(region.patch.ravel())))
            SubElement(
                image, "mask", {"label": region.label, **common, "rle": rle} | {k: str(v) for k, v in box.items()}
            )
    indent(root)
    path = folder / "annotations.xml"
    atomic.write(path, tostring(root, encoding="utf-8", xml_declaration=True))
    return [path]


def _write_labelme(
    folder: Path, pictures: Sequence[Annotation], labels: Sequence[str], colors: Sequence[tuple[int, int, int]]
) -> list[Path]:
    """Write a JSON file beside each picture."""
    written = []
    for picture in pictures:
        path = folder / "images" / picture.name
        shapes: list[dict[str, object]] = [
            {"label": line.label, "points": (line.points + 0.5).round(2).tolist(), "shape_type": "linestrip"}
            for line in picture.lines
        ]
        shapes += [_labelme_region(region) for region in picture.regions]
        common: dict[str, Any] = {"group_id": None, "description": "", "flags": {}}
        document: dict[str, Any] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": [common | shape for shape in shapes],
            "imagePath": path.name,
            "imageData": None,
            "imageHeight": picture.size[1],
            "imageWidth": picture.size[0],
        }
        target = path.with_suffix(".json")
        atomic.write(target, json.dumps(document, ensure_ascii=False, indent=1))
        written.append(target)
    return written


def _labelme_region(region: Region) -> dict[str, object]:
    """Return a mask shape, whose two points are the corner pixels of its bounding box."""
    rows, columns = region.patch.shape
    packed = cv2.imencode(".png", region.patch.astype(np.uint8) * 255)[1]
    return {
        "label": region.label,
        "points": [[region.left, region.top], [region.left + columns - 1, region.top + rows - 1]],
        "shape_type": "mask",
        "mask": base64.b64encode(packed.tobytes()).decode(),
    }


def _write_coco(
    folder: Path, pictures: Sequence[Annotation], labels: Sequence[str], colors: Sequence[tuple[int, int, int]]
) -> list[Path]:
    """Write ``annotations/instances_default.json`` with run lengths; lines are omitted because COCO has none."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, picture in enumerate(pictures, 1):
        width, height = picture.size
        images.append({"id": number, "file_name": picture.name, "width": width, "height": height})
        for region in picture.regions:
            rows, columns = region.patch.shape
            full = np.zeros((height, width), bool)
            full[region.top : region.top + rows, region.left : region.left + columns] = region.patch
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": list(labels).index(region.label) + 1,
                    "segmentation": {"size": [height, width], "counts": runs(full.T.ravel())},  # column by column
                    "area": int(region.patch.sum()),
                    "bbox": [region.left, region.top, columns, rows],
                    "iscrowd": 1,  # COCO's mark of run lengths
                }
            )
    categories = [{"id": number, "name": name, "supercategory": ""} for number, name in enumerate(labels, 1)]
    document = {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories}
    path = folder / "annotations" / "instances_default.json"
    path.parent.mkdir(exist_ok=True)
    atomic.write(path, json.dumps(document, ensure_ascii=False))
    return [path]
