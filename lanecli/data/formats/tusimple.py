"""TuSimple: json lines with clips, or the LaneNet-style folders ``image``, ``gt_binary_image``, ``gt_instance_image``.

Masks are slot-coded (1 to 6 from left to right, the ego lane's lines are 3 and 4; lanes beyond are 255); the label
map makes binary ones of them. Only the frame a json line names has labels, 1 of a clip's 20. The Kaggle copy nests
``train_set`` and ``test_set``; both are found. ``label_data_0531`` is the usual validation part.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lanecli.data.lanes import draw_lanes, slots
from lanecli.data.layout import Layout, Pair, Request, by_key, files_below, match
from lanecli.data.manifest import safe_relative
from lanecli.data.rasterise import blank
from lanecli.data.words import sequence_of
from lanecli.errors import InputError
from lanecli.labels import LabelMap
from lanecli.media.pictures import picture_size, read_mask

_ABSENT = -2
_WIDTHS = {True: 15, False: 5}  # slot-coded, binary: the widths the field draws each with


def read(request: Request) -> Layout:
    """Read whichever of the two forms is there."""
    root = request.source
    if root.is_dir() and (root / "gt_binary_image").is_dir():
        return _read_folders(root)
    files = [root] if root.is_file() else sorted((*root.glob("*.json"), *root.glob("*_set/*.json")))
    pairs, notes = [], []
    for path in files:
        if path.name.startswith("test_tasks") or path.name == "test_baseline.json":
            continue
        found, missing = _read_lines(path, request)
        pairs += found
        if missing:
            notes.append(f"{len(missing)} pictures named in {path.name} are not there, the first is {missing[0]}")
    if not pairs:
        raise InputError(f"{root}: no label_data_*.json or test_label.json with its clips, and no gt_binary_image")

    def load(pair: Pair, label_map: LabelMap) -> np.ndarray:
        size = picture_size(pair.image)
        width = request.line_width or _WIDTHS[label_map.name == "tusimple-slots"]
        lanes = lanes_of(pair.label)
        return draw_lanes(blank(size, str(pair.image)), lanes, slots(lanes, size), width)

    return Layout(tuple(pairs), "tusimple-binary", "tusimple", load, notes=tuple(notes))


def lanes_of(label: dict[str, Any]) -> list[np.ndarray]:
    """(N, 2) x, y of each lane of a json line; absent points (-2) and lanes of fewer than 2 points are left out."""
    rows = np.array(label["h_samples"], float)
    lanes = []
    for xs in label["lanes"]:
        x = np.array(xs, float)
        present = x > _ABSENT
        if present.sum() > 1:
            lanes.append(np.stack([x[present], rows[present]], axis=1))
    return lanes


def _read_lines(path: Path, request: Request) -> tuple[list[Pair], list[Path]]:
    root = request.images or path.parent
    split = "val" if "0531" in path.name else "test" if "test" in path.name else "train"
    pairs, missing = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        try:
            label = json.loads(line)
            name = safe_relative(label["raw_file"])
            if any(len(lane) != len(label["h_samples"]) for lane in label["lanes"]):
                raise InputError(f"{where}: a lane has not as many points as h_samples")
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{where}: no TuSimple label ({type(error).__name__}: {error})") from error
        image = root / name
        if not image.is_file():
            missing.append(image)
            continue
        pairs.append(Pair(image, name.with_suffix("").as_posix(), name.parent.as_posix(), label, split, line.strip()))
    return pairs, missing


def _read_folders(root: Path) -> Layout:
    pictures = next((root / n for n in ("image", "gt_image", "images") if (root / n).is_dir()), root / "image")
    found, notes = match(
        root,
        by_key(files_below(pictures), lambda p: p.stem),
        by_key(files_below(root / "gt_binary_image"), lambda p: p.stem),
    )

    def load(pair: Pair, label_map: LabelMap) -> np.ndarray:
        if label_map.name != "tusimple-slots":
            return read_mask(pair.label)
        path = root / "gt_instance_image" / pair.label.name
        return slots_of_instances(read_mask(path))

    pairs = tuple(Pair(image, key, sequence_of(key), label) for key, image, label in found)
    return Layout(pairs, "tusimple-binary", "tusimple", load, notes=notes)


def slots_of_instances(instances: np.ndarray) -> np.ndarray:
    """(H, W) grey values, one per lane in any order, as slot ids."""
    height, width = instances.shape
    greys = [int(v) for v in np.unique(instances) if v]
    lanes = []
    for grey in greys:
        rows, columns = np.nonzero(instances == grey)
        # One centre a row: a wide line far below must not outweigh the rest.
        used, first = np.unique(rows, return_index=True)
        centres = np.add.reduceat(columns, first) / np.diff(np.append(first, len(rows)))
        lanes.append(np.stack([centres, used], axis=1))
    table = np.zeros(256, np.uint8)
    table[greys] = slots(lanes, (width, height))
    return table[instances]
