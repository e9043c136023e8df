"""Labels for annotation tools to start from: CVAT, LabelMe and COCO files that `prepare` reads back to the pixel.

Regions are written as run lengths or little pictures, one for each connected component: polygons leave gaps of a pixel
between neighbours and cannot hold holes. Every label is drawn in the order given, later ones on top.
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
    """One connected region: its label, the (left, top) corner of its box, and which pixels of the box it covers."""

    label: str
    left: int
    top: int
    patch: np.ndarray


@dataclass(frozen=True)
class Line:
    """A line with a label; points (N, 2) are x, y in pixel centres."""

    label: str
    points: np.ndarray


@dataclass(frozen=True)
class Annotation:
    """What is drawn on one picture.

    Attributes:
        name: the picture's path below the folder of pictures, with forward slashes.
        size: (width, height).
        regions: in the order they are drawn.
        lines: likewise, on top of them.
    """

    name: str
    size: Size
    regions: tuple[Region, ...] = ()
    lines: tuple[Line, ...] = field(default=())


def regions_of(mask: np.ndarray, label: str, smallest: int = 1) -> list[Region]:
    """The connected components of a mask.

    Args:
        mask: (H, W) bool.
        label: they get.
        smallest: pixels below which a component is left out.
    """
    count, numbers, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    found = []
    for number in range(1, count):
        left, top, width, height, pixels = (int(v) for v in boxes[number])
        if pixels >= smallest:
            patch = numbers[top : top + height, left : left + width] == number
            found.append(Region(label, left, top, patch))
    return found


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
        folder: that holds ``images/``, where the pictures lie.
        pictures: what is drawn on each.
        labels: every label of the task, used or not: a tool refuses labels its task does not have.
        colors: RGB of each label.

    Returns:
        The files written; the last one is the list of labels to paste into the tool.

    Raises:
        InputError: there is no such format.
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
    """Lengths of runs of a flat bool array, the first of them False's (0 where it begins with True)."""
    edges = np.flatnonzero(np.diff(values.astype(np.int8))) + 1
    lengths = np.diff(np.concatenate([[0], edges, [values.size]])).tolist()
    return [0, *lengths] if values.size and values[0] else lengths


def _write_cvat(
    folder: Path, pictures: Sequence[Annotation], labels: Sequence[str], colors: Sequence[tuple[int, int, int]]
) -> list[Path]:
    """``annotations.xml``, "CVAT for images 1.1"."""
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
        for order, region in enumerate(picture.regions):
            rows, columns = region.patch.shape
            box = {"left": region.left, "top": region.top, "width": columns, "height": rows, "z_order": order}
            rle = ", ".join(map(str, runs(region.patch.ravel())))
            SubElement(
                image, "mask", {"label": region.label, **common, "rle": rle} | {k: str(v) for k, v in box.items()}
            )
        for order, line in enumerate(picture.lines, len(picture.regions)):
            # CVAT's origin is the corner of the first pixel
            points = ";".join(f"{x + 0.5:.2f},{y + 0.5:.2f}" for x, y in line.points)
            SubElement(image, "polyline", {"label": line.label, **common, "points": points, "z_order": str(order)})
    indent(root)
    path = folder / "annotations.xml"
    atomic.write(path, tostring(root, encoding="utf-8", xml_declaration=True))
    return [path]


def _write_labelme(
    folder: Path, pictures: Sequence[Annotation], labels: Sequence[str], colors: Sequence[tuple[int, int, int]]
) -> list[Path]:
    """A JSON file beside each picture."""
    written = []
    for picture in pictures:
        path = folder / "images" / picture.name
        shapes = [_labelme_region(region) for region in picture.regions]
        shapes += [
            {"label": line.label, "points": (line.points + 0.5).round(2).tolist(), "shape_type": "linestrip"}
            for line in picture.lines
        ]
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
    """A mask shape: its two points are the corner pixels of its box."""
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
    """``annotations/instances_default.json`` with run lengths; COCO has no lines."""
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
                    "segmentation": {"size": [height, width], "counts": runs(full.T.ravel())},  # down the columns
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
