"""COCO: JSON with images, categories and annotations (polygons, run lengths plain or compressed).

Annotations are drawn in file order; a polygon annotation may be of several parts. Polygon coordinates have (0, 0) at
the top-left pixel's outer corner. ``annotations/*train*.json`` and ``*val*.json`` give the splits.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lanecli.data.layout import Layout, Pair, Request
from lanecli.data.manifest import safe_relative
from lanecli.data.rasterise import coco_runs, from_corners, runs_to_mask
from lanecli.data.shapes import Drawing, Shape, layout_of
from lanecli.data.words import sequence_of, split_of
from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.media.picture_header import MAX_PIXELS


def read(request: Request) -> Layout:
    """Read one annotation file, or all of a folder."""
    root = request.source
    files = [root] if root.is_file() else sorted((*root.glob("annotations/*.json"), *root.glob("*.json")))
    base = request.images or (root.parent if root.is_file() else root)
    pairs: list[Pair] = []
    words: set[str] = set()
    missing: list[str] = []
    for path in files:
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(data, dict) or not {"images", "annotations", "categories"} <= data.keys():
                continue
            categories = {c["id"]: str(c["name"]) for c in data["categories"]}
            words.update(categories.values())
            _read_file(data, categories, path, base, pairs, missing)
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            raise InputError(f"{path}: no COCO file ({type(error).__name__}: {error})") from error
    if not pairs:
        raise InputError(f"{root}: no COCO annotations whose pictures are below {base}; give --images DIR")
    notes = [f"{len(missing)} pictures named are not there, the first is {missing[0]}"] if missing else []
    return layout_of("coco", pairs, request, sorted(words), {}, notes)


def _read_file(
    data: dict[str, Any], categories: dict[int, str], path: Path, base: Path, pairs: list[Pair], missing: list[str]
) -> None:
    split = split_of(path.stem)
    by_image: dict[int, list[dict[str, Any]]] = {}
    for annotation in data["annotations"]:
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    for entry in data["images"]:
        name = safe_relative(entry["file_name"])
        stems = (path.stem.removeprefix("instances_"), "images", f"images/{path.stem.removeprefix('instances_')}", ".")
        roots = (base, base.parent) if base.name == "annotations" else (base,)
        image = next((p for r in roots for s in stems if (p := r / s / name).is_file()), None)
        if image is None:
            missing.append(entry["file_name"])
            continue
        where = f"{path}: picture '{entry['file_name']}'"
        size = (int(entry["width"]), int(entry["height"]))
        shapes = [s for a in by_image.get(entry["id"], ()) for s in _shapes(a, categories, size, where)]
        stem = name.with_suffix("").as_posix()
        unique = f"{split}/{stem}" if split else stem
        pairs.append(Pair(image, unique, sequence_of(stem), Drawing(size, tuple(shapes), where), split))


def _shapes(annotation: dict[str, Any], categories: dict[int, str], size: Size, where: str) -> list[Shape]:
    if annotation["category_id"] not in categories:
        raise InputError(f"{where}: category {annotation['category_id']} is not in the file's categories")
    label, segmentation = categories[annotation["category_id"]], annotation.get("segmentation")
    if isinstance(segmentation, dict):
        height, width = (int(v) for v in segmentation["size"])
        if (width, height) != size or width * height > MAX_PIXELS:
            raise InputError(f"{where}: a mask of {width}x{height} in a picture of {size[0]}x{size[1]}")
        counts = segmentation["counts"]
        runs = coco_runs(counts, where) if isinstance(counts, str) else counts
        # Run lengths go down the columns.
        patch = runs_to_mask(runs, width * height, where).reshape(width, height).T
        return [Shape(label, "patch", np.zeros((1, 2)), patch)]
    return [Shape(label, "polygon", from_corners(part)) for part in segmentation or () if len(part) >= 6]
