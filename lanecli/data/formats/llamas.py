"""LLAMAS: ``color_images/<split>/<drive>/X_color_rect.png``, and markers in ``labels/<split>/<drive>/X.json``.

A lane is drawn through the ends of its markers, across the gaps. The slots are 2 and 3 for the lines of the ego lane
(l0, r0), 1 and 4 for the next ones (l1, r1), and 255 for all others. The test split has no public labels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lanecli.data.lanes import EXTRA, draw_lanes
from lanecli.data.layout import LaneLine, Layout, Pair, Request, by_key, files_below, first_folder, match
from lanecli.data.orientation import upright_size
from lanecli.data.rasterise import are_points, blank
from lanecli.data.shapes import near_to_far
from lanecli.errors import InputError
from lanecli.labels import LabelMap
from lanecli.textfiles import read_json

_SLOTS = {"l1": 1, "l0": 2, "r0": 3, "r1": 4}
_SPLITS = {"train": "train", "valid": "val", "val": "val", "test": "test"}
_WIDTH = 16


def read(request: Request) -> Layout:
    """Pair pictures with label files by the path below both folders."""
    root = request.source
    pictures = request.images or first_folder(root, "color_images")
    labels = first_folder(root, "labels")
    found, notes = match(
        root,
        by_key(files_below(pictures), lambda p: _key(p.relative_to(pictures), "_color_rect")),
        by_key(files_below(labels, (".json",)), lambda p: _key(p.relative_to(labels), "")),
    )
    width = request.line_width or _WIDTH

    def load(pair: Pair, label_map: LabelMap) -> np.ndarray:
        points, values = read_lanes(pair.label)
        return draw_lanes(blank(upright_size(pair.image)[0], str(pair.image)), points, values, width)

    def lanes(pair: Pair) -> list[LaneLine]:
        return [LaneLine(near_to_far(points)) for points in read_lanes(pair.label)[0]]

    pairs = tuple(
        Pair(image, key, key.rpartition("/")[0], label, _SPLITS.get(key.split("/")[0])) for key, image, label in found
    )
    return Layout(
        pairs,
        "llamas",
        "llamas",
        load,
        lanes=lanes,
        notes=notes,
        grouping="drive",
        splitting="the folders train and valid",
    )


def _key(path: Path, suffix: str) -> str:
    return (path.parent / path.stem.removesuffix(suffix)).as_posix()


def read_lanes(path: Path) -> tuple[list[np.ndarray], list[int]]:
    """Read (N, 2) x, y of each lane from top to bottom, and the slots. Raises InputError for a malformed file."""
    lanes, values = [], []
    try:
        for lane in read_json(path)["lanes"]:
            ends = [m[end] for m in lane["markers"] for end in ("pixel_start", "pixel_end")]
            points = np.array([(float(p["x"]), float(p["y"])) for p in ends]).reshape(-1, 2)
            if not are_points(points):
                raise ValueError("a point is not a finite number")
            if len(points) > 1:
                lanes.append(points[np.argsort(points[:, 1], kind="stable")])
                values.append(_SLOTS.get(lane["lane_id"], EXTRA))
    except (AttributeError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise InputError(f"{path}: not a LLAMAS label ({type(error).__name__}: {error})") from error
    return lanes, values
