"""COCO: JSON with images, categories and annotations, which are polygons or plain or compressed run lengths.

Annotations are drawn in the order of the file, and a polygon annotation may have several parts. In polygons, (0, 0) is
the outer corner of the top-left pixel. The split is in the name of the file (``annotations/instances_train2017.json``)
or of its folder (Roboflow's ``train/_annotations.coco.json``). If several files have the same picture (``stuff_…`` and
``instances_…``), stuff is drawn first and objects on top.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from lanecli.data.layout import Layout, Pair, Request, files_below
from lanecli.data.paths import FileReference, Finder, portable, relative_to_root
from lanecli.data.rasterise import coco_runs, runs_to_mask
from lanecli.data.shapes import Drawing, Shape, Tally, declared_size, layout_from_drawings, to_pixel_centres
from lanecli.data.words import sequence_of, split_of
from lanecli.errors import InputError
from lanecli.geometry import Size
from lanecli.textfiles import read_json

_PREFIXES = ("instances_", "stuff_", "person_keypoints_", "panoptic_", "image_info_", "captions_")
_BELOW = ("stuff_", "panoptic_", "person_keypoints_")
"""Files that are drawn first: they hold areas, or objects that are in `instances_` too."""


def read(request: Request) -> Layout:
    """Read one annotation file, or all annotation files below a folder."""
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
            raise InputError(f"{path}: not a COCO file ({type(error).__name__}: {error!s:.200})") from error
    if not pairs:
        missing = f" (the first of {len(tally.missing)} is '{tally.missing[0]}')" if tally.missing else ""
        raise InputError(
            f"{root}: holds no COCO annotations whose pictures are below {base}{missing}; give --images DIR"
        )
    return layout_from_drawings(
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
    """Return an id as text, since tools write both 1 and "1" for the same picture."""
    if isinstance(identifier, float) and identifier.is_integer():
        identifier = int(identifier)
    if not isinstance(identifier, int | str | float) or identifier in (float("inf"), float("-inf")):
        raise ValueError(f"'{identifier!s:.60}' is not an id")
    return str(identifier)


def _named_apart(pairs: Iterable[Pair]) -> list[Pair]:
    """Add the suffix to the names of pairs that would be equal, such as those of ``a.jpg`` and ``a.png``."""
    pairs = list(pairs)
    names = Counter(pair.name for pair in pairs)
    return [replace(p, name=f"{p.name}_{p.image.suffix[1:].lower()}") if names[p.name] > 1 else p for p in pairs]


def _merged(first: Pair, second: Pair) -> Pair:
    """Merge two pairs of the same picture into one."""
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
    names = [FileReference(e["file_name"], f"{path}: picture '{e['file_name']!s:.200}'", start) for e in data["images"]]
    for entry, (_, where, _), image in zip(data["images"], names, finder.find_all(names), strict=True):
        annotations = by_image.pop(_key(entry["id"]), [])
        if image is None:
            tally.missing.append(str(entry["file_name"]))
            continue
        size = declared_size(entry.get("width"), entry.get("height"), where)
        shapes = [s for a in annotations for s in _shapes(a, categories, size, where, tally)]
        size = size or next((shape.extent for shape in shapes if shape.patch is not None), None)
        stem = _stem(image, base, entry["file_name"], where)
        name = stem if split is None or stem.split("/")[0] == split else f"{split}/{stem}"
        yield Pair(image, name, sequence_of(stem), Drawing(size, tuple(shapes), where), split)
    if by_image:
        tally.left_out["annotations of pictures the file does not name"] += sum(map(len, by_image.values()))


def _stem(image: Path, base: Path, file_name: str, where: str) -> str:
    """Return a picture's name without suffix: the path in the file, or its path in the dataset if that differs."""
    name = portable(file_name, where)
    if not image.as_posix().endswith(f"/{name.as_posix()}"):
        name = PurePosixPath(image.relative_to(base).as_posix())
    return name.with_suffix("").as_posix()


def _shapes(
    annotation: dict[str, Any], categories: dict[str, str], size: Size | None, where: str, tally: Tally
) -> list[Shape]:
    category = _key(annotation["category_id"])
    if category not in categories:
        raise InputError(f"{where}: category {category:.60} is not among the categories of the file")
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
    return [Shape(label, "polygon", to_pixel_centres(part, where)) for part in outlines]


def _mask(label: str, segmentation: dict[str, Any], size: Size | None, where: str) -> Shape:
    """Return a patch of run lengths, which are column by column and decoded only when it is drawn."""
    height, width = segmentation["size"]
    extent = declared_size(width, height, where)
    if extent is None:
        raise InputError(f"{where}: a mask has no size")
    if size is not None and extent != size:
        raise InputError(
            f"{where}: a mask is {width}x{height}, but its picture is {size[0]}x{size[1]}; they must have the same size"
        )
    counts = segmentation["counts"]

    def patch() -> np.ndarray:
        runs = coco_runs(counts, where) if isinstance(counts, str) else counts
        return runs_to_mask(runs, extent[0] * extent[1], where).reshape(extent).T

    return Shape(label, "patch", np.zeros((1, 2)), patch, extent)
