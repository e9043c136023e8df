"""TuSimple: JSON lines with clips, or the LaneNet-style folders ``image``, ``gt_binary_image``, ``gt_instance_image``.

Masks are slot-coded: 1 to 6 from left to right, with 3 and 4 for the lines of the ego lane and 255 for lanes beyond;
the label map makes binary masks of them. Only the frame that a JSON line names has labels, one of a clip's 20. The
folders ``train_set`` and ``test_set`` of the Kaggle copy are found too. ``label_data_0531`` is the usual validation
part.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lanecli.data.lanes import assign_slots, draw_lanes
from lanecli.data.layout import LaneLine, Layout, Pair, Request, by_key, files_below, match, read_ids
from lanecli.data.orientation import upright_size
from lanecli.data.paths import Finder, portable
from lanecli.data.rasterise import are_points, blank
from lanecli.data.shapes import near_to_far
from lanecli.data.words import sequence_of
from lanecli.errors import InputError
from lanecli.labels import LabelMap
from lanecli.textfiles import parse_json, read_text

_ABSENT = -2
_WIDTHS = {True: 15, False: 5}  # the usual widths for slot-coded and for binary masks


def read(request: Request) -> Layout:
    """Read whichever of the two forms it is."""
    root = request.source
    if root.is_dir() and (root / "gt_binary_image").is_dir():
        return _read_folders(root)
    files = [root] if root.is_file() else sorted((*root.glob("*.json"), *root.glob("*_set/*.json")))
    pairs: list[Pair] = []
    notes: list[str] = []
    read_from: list[str] = []
    for path in files:
        if path.name.startswith("test_tasks") or path.name == "test_baseline.json":
            continue
        found, missing = _read_lines(path, request)
        pairs += found
        read_from += [path.name] if found else []
        if missing:
            notes.append(f"{len(missing)} pictures named in {path.name} do not exist, the first is {missing[0]}")
    if not pairs and notes:
        raise InputError(f"{root}: {notes[0]}; give --images DIR")
    if not pairs:
        raise InputError(
            f"{root}: has no label_data_*.json or test_label.json with its clips, and no folder gt_binary_image"
        )

    def load(pair: Pair, label_map: LabelMap) -> np.ndarray:
        size = upright_size(pair.image)[0]
        width = request.line_width or _WIDTHS[label_map.name == "tusimple-slots"]
        lanes = lanes_of(pair.label)
        return draw_lanes(blank(size, str(pair.image)), lanes, assign_slots(lanes, size), width)

    return Layout(
        tuple(pairs),
        "tusimple-binary",
        "tusimple",
        load,
        lanes=lambda pair: [LaneLine(near_to_far(points)) for points in lanes_of(pair.label)],
        notes=tuple(notes),
        grouping="clip",
        splitting=f"the files {', '.join(read_from)} (0531 is val)",
    )


def lanes_of(label: dict[str, Any]) -> list[np.ndarray]:
    """Return (N, 2) x, y of each lane in a JSON line, without absent points (-2) and lanes of fewer than 2 points."""
    rows = np.array(label["h_samples"], float)
    lanes = []
    for xs in label["lanes"]:
        x = np.array(xs, float)
        present = x > _ABSENT
        if present.sum() > 1:
            lanes.append(np.stack([x[present], rows[present]], axis=1))
    return lanes


def _labels(path: Path) -> Iterator[tuple[str, Any, str]]:
    """Yield (position for errors, label, its text) for a file with a label per line, or one JSON array of labels."""
    content = read_text(path)
    if content.lstrip().startswith("["):
        labels = parse_json(content, str(path))
        yield from ((f"{path} label {n}", label, json.dumps(label)) for n, label in enumerate(labels, 1))
        return
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip():
            where = f"{path} line {number}"
            yield where, parse_json(line, where), line.strip()


def _read_lines(path: Path, request: Request) -> tuple[list[Pair], list[str]]:
    root = request.images or path.parent
    finder = Finder(root)
    split = "val" if "0531" in path.name else "test" if "test" in path.name else "train"
    pairs, missing = [], []
    for where, label, text in _labels(path):
        try:
            raw_file = str(label["raw_file"])
            if any(len(lane) != len(label["h_samples"]) for lane in label["lanes"]):
                raise InputError(f"{where}: a lane does not have as many points as h_samples")
            if not all(are_points(np.array(row, float)) for row in (*label["lanes"], label["h_samples"])):
                raise InputError(f"{where}: a point is not a finite number")
            image = finder.find(label["raw_file"], where)
        except (AttributeError, ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
            raise InputError(f"{where}: not a TuSimple label ({type(error).__name__}: {error})") from error
        if image is None:
            missing.append(raw_file)
            continue
        name = portable(raw_file, where).with_suffix("")
        if raw_file != (plain := name.with_suffix(image.suffix).as_posix()):
            text = json.dumps({**label, "raw_file": plain})  # the official program compares these names
        pairs.append(Pair(image, name.as_posix(), name.parent.as_posix(), label, split, text))
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
            return read_ids(pair.label)
        path = root / "gt_instance_image" / pair.label.name
        return slots_of_instances(read_ids(path))

    pairs = tuple(Pair(image, key, sequence_of(key), label) for key, image, label in found)
    return Layout(pairs, "tusimple-binary", "tusimple", load, notes=notes, guessed=True)


def slots_of_instances(instances: np.ndarray) -> np.ndarray:
    """Convert (H, W) grey values, a different one for each lane, to slot ids."""
    height, width = instances.shape
    greys = [int(v) for v in np.unique(instances) if v]
    lanes = []
    for grey in greys:
        rows, columns = np.nonzero(instances == grey)
        # one centre per row, so that the wide part of a line near the camera does not outweigh the rest
        used, first = np.unique(rows, return_index=True)
        centres = np.add.reduceat(columns, first) / np.diff(np.append(first, len(rows)))
        lanes.append(np.stack([centres, used], axis=1))
    table = np.zeros(256, np.uint8)
    table[greys] = assign_slots(lanes, (width, height))
    return table[instances]
