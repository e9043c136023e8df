"""COCO: JSON with images, categories and annotations (polygons, run lengths plain or compressed).

Annotations are drawn in file order; a polygon annotation may be of several parts. Polygon coordinates have (0, 0) at
the top-left pixel's outer corner. Splits are named by the files (``annotations/instances_train2017.json``) or their
folders (Roboflow's ``train/_annotations.coco.json``). Files that name the same picture (``stuff_…`` beside
``instances_…``) are drawn over each other: stuff first, objects last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from lanecli.data.layout import Layout, Pair, Request, files_below
from lanecli.data.paths import Finder, Named, portable, relative_to_root
from lanecli.data.rasterise import coco_runs, runs_to_mask
from lanecli.data.shapes import Drawing, Shape, Tally, layout_of, points_of, size_of
from lanecli.data.words import sequence_of, split_of
from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.textfiles import read_json

_PREFIXES = ("instances_", "stuff_", "person_keypoints_", "panoptic_", "image_info_", "captions_")
_BELOW = ("stuff_", "panoptic_", "person_keypoints_")
"""Files of areas, and of the objects that `instances_` holds too, are drawn first."""


def read(request: Request) -> Layout:
    """Read one annotation file, or all of a folder."""
    root = request.source
    files = [root] if root.is_file() else sorted(files_below(root, (".json",)), key=_order)
    folder = root.parent if root.is_file() else root
    base = request.images or (folder.parent if root.is_file() and folder.name == "annotations" else folder)
    tally = Tally()
    pairs: dict[tuple[Path, str | None], Pair] = {}
    words: dict[str, None] = {}
    for path in files:
        data = read_json(path)
        if not isinstance(data, dict) or not {"images", "annotations", "categories"} <= data.keys():
            continue
        try:
            categories = {_key(c["id"]): str(c["name"]) for c in data["categories"]}
            words.update(dict.fromkeys(categories.values()))
            for pair in _read_file(data, categories, path, base, tally):
                seen = pairs.get((pair.image, pair.split))
                pairs[pair.image, pair.split] = pair if seen is None else _merged(seen, pair)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{path}: no COCO file ({type(error).__name__}: {error!s:.200})") from error
    if not pairs:
        named = f" (the first of {len(tally.missing)} named is '{tally.missing[0]}')" if tally.missing else ""
        raise InputError(f"{root}: no COCO annotations whose pictures are below {base}{named}; give --images DIR")
    return layout_of(
        "coco",
        _named_apart(pairs.values()),
        request,
        words,
        {},
        tally.notes("the annotations"),
        left_out=tally.left_out,
        guessed=True,
        splitting="the names of the annotation files or their folders",
    )


def _order(path: Path) -> tuple[bool, str]:
    return not path.name.startswith(_BELOW), str(path)


def _key(identifier: Any) -> str:
    """An id as text: tools write 1 and "1" for one picture."""
    if isinstance(identifier, float) and identifier.is_integer():
        identifier = int(identifier)
    if not isinstance(identifier, int | str | float) or identifier in (float("inf"), float("-inf")):
        raise ValueError(f"'{identifier!s:.60}' is no id")
    return str(identifier)


def _named_apart(pairs: Iterable[Pair]) -> list[Pair]:
    """Pairs of one name, such as ``a.jpg`` and ``a.png``, told apart by their suffixes."""
    found = list(pairs)
    names = Counter(pair.name for pair in found)
    return [replace(p, name=f"{p.name}_{p.image.suffix[1:].lower()}") if names[p.name] > 1 else p for p in found]


def _merged(first: Pair, second: Pair) -> Pair:
    """One pair of two entries for one picture."""
    shapes = (*first.label.shapes, *second.label.shapes)
    return replace(first, label=replace(first.label, size=first.label.size or second.label.size, shapes=shapes))


def _read_file(
    data: dict[str, Any], categories: dict[str, str], path: Path, base: Path, tally: Tally
) -> Iterable[Pair]:
    plain = next((path.stem.removeprefix(p) for p in _PREFIXES if path.stem.startswith(p)), path.stem)
    split = split_of(path.stem) or split_of(path.parent.name)
    finder = Finder(base, (plain, "images", f"images/{plain}", "val2017", "train2017"))
    by_image: dict[str, list[dict[str, Any]]] = {}
    for annotation in data["annotations"]:
        by_image.setdefault(_key(annotation["image_id"]), []).append(annotation)
    start = relative_to_root(path, base)
    names = [Named(e["file_name"], f"{path}: picture '{e['file_name']!s:.200}'", start) for e in data["images"]]
    for entry, (_, where, _), image in zip(data["images"], names, finder.find_all(names), strict=True):
        annotations = by_image.pop(_key(entry["id"]), [])
        if image is None:
            tally.missing.append(str(entry["file_name"]))
            continue
        size = size_of(entry.get("width"), entry.get("height"), where)
        shapes = [s for a in annotations for s in _shapes(a, categories, size, where, tally)]
        size = size or next((shape.extent for shape in shapes if shape.patch is not None), None)
        stem = _stem(image, base, entry["file_name"], where)
        name = stem if split is None or stem.split("/")[0] == split else f"{split}/{stem}"
        yield Pair(image, name, sequence_of(stem), Drawing(size, tuple(shapes), where), split)
    if by_image:
        tally.left_out["annotations of pictures the file does not name"] += sum(map(len, by_image.values()))


def _stem(image: Path, base: Path, named: str, where: str) -> str:
    """A picture's name: as the file names it, or its path in the dataset where the file names that of elsewhere."""
    name = portable(named, where)
    if not image.as_posix().endswith(f"/{name.as_posix()}"):
        name = PurePosixPath(image.relative_to(base).as_posix())
    return name.with_suffix("").as_posix()


def _shapes(
    annotation: dict[str, Any], categories: dict[str, str], size: Size | None, where: str, tally: Tally
) -> list[Shape]:
    category = _key(annotation["category_id"])
    if category not in categories:
        raise InputError(f"{where}: category {category:.60} is not in the file's categories")
    label, segmentation = categories[category], annotation.get("segmentation")
    if isinstance(segmentation, dict):
        return [_mask(label, segmentation, size, where)]
    if not segmentation:
        reason = "boxes without an outline" if annotation.get("bbox") else "annotations without an outline"
        tally.left_out[reason] += 1
        return []
    parts = segmentation if isinstance(segmentation[0], list) else [segmentation]
    outlines = [part for part in parts if len(part) >= 6 and len(part) % 2 == 0]
    if not outlines:
        tally.left_out["polygons of fewer than three points"] += 1
    return [Shape(label, "polygon", points_of(part, where)) for part in outlines]


def _mask(label: str, segmentation: dict[str, Any], size: Size | None, where: str) -> Shape:
    """Run lengths, which go down the columns, kept as they are until they are drawn."""
    height, width = segmentation["size"]
    extent = size_of(width, height, where)
    if extent is None or (size is not None and extent != size):
        raise InputError(f"{where}: a mask of {width}x{height} in a picture of {size and f'{size[0]}x{size[1]}'}")
    counts = segmentation["counts"]

    def patch() -> np.ndarray:
        runs = coco_runs(counts, where) if isinstance(counts, str) else counts
        return runs_to_mask(runs, extent[0] * extent[1], where).reshape(extent).T

    return Shape(label, "patch", np.zeros((1, 2)), patch, extent)
