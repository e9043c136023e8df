"""CULane: clips by driver, masks in ``laneseg_label_w16`` with slots 0 to 4, and lists whose paths begin with "/".

Without masks, ``X.lines.txt`` beside each picture is read: one lane per line, ``x y x y …``, drawn 16 pixels wide like
the masks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lanecli.data.lanes import assign_slots, draw_lanes
from lanecli.data.layout import LaneLine, Layout, Pair, Request, files_below, load_mask
from lanecli.data.orientation import upright_size
from lanecli.data.paths import Finder
from lanecli.data.rasterise import are_points, blank
from lanecli.data.shapes import near_to_far
from lanecli.errors import InputError
from lanecli.labels import LabelMap
from lanecli.textfiles import numbered_lines

_MASKS = ("laneseg_label_w16", "laneseg_label_w16_test")
_LISTS = (("train", ("train_gt.txt", "train.txt")), ("val", ("val_gt.txt", "val.txt")), ("test", ("test.txt",)))
_LINES = ".lines.txt"
_WIDTH = 16
_PER_SIDE = 2


def read(request: Request) -> Layout:
    """Pair the pictures in the lists, or without lists all pictures that have a mask or lane lines."""
    root = request.source
    finder = Finder(root)
    lists = [
        (split, path)
        for split, names in _LISTS
        if (path := next((root / "list" / n for n in names if (root / "list" / n).is_file()), None))
    ]
    entries = [e for split, path in lists for e in _listed(path, split, finder)] if lists else list(_walked(root))
    pairs, missing, drawn = [], [], 0
    for split, image, label, listed_path in entries:
        lines = lines_file(image) if image is not None else None
        label = label or (_mask_of(root, image) if image is not None else None) or lines
        if image is None or label is None:
            missing.append(listed_path)
            continue
        drawn += label == lines
        name = image.relative_to(root).with_suffix("")
        pairs.append(Pair(image, name.as_posix(), name.parent.as_posix(), label, split))
    if not pairs:
        raise InputError(
            f"{root}: no picture has a mask below {_MASKS[0]} or lane lines beside it; is this the CULane folder?"
        )
    notes = []
    if missing:
        notes.append(
            f"{len(missing)} pictures left out, since they or their masks do not exist, the first is {missing[0]}"
        )
    if drawn:
        notes.append(f"{drawn} masks are drawn from *{_LINES}, since there are none below {_MASKS[0]}")

    def load(pair: Pair, label_map: LabelMap) -> np.ndarray:
        if not pair.label.name.endswith(_LINES):
            return load_mask(pair, label_map)
        size = upright_size(pair.image)[0]
        lanes = read_lines(pair.label)
        mask = blank(size, str(pair.image))
        return draw_lanes(mask, lanes, assign_slots(lanes, size, _PER_SIDE), request.line_width or _WIDTH)

    def lanes_of(pair: Pair) -> list[LaneLine]:
        path = lines_file(pair.image)
        return [LaneLine(near_to_far(points)) for points in read_lines(path)] if path is not None else []

    known = any(lines_file(pair.image) is not None for pair in pairs)
    return Layout(
        tuple(pairs),
        "culane",
        "culane",
        load,
        lanes=lanes_of if known else None,
        notes=tuple(notes),
        grouping="clip",
        splitting=f"the lists {', '.join(path.name for _, path in lists)}",
    )


Entry = tuple[str | None, Path | None, Path | None, str]
"""A split, the picture, its mask if a list names one, and the picture's name in the list."""


def _listed(path: Path, split: str, finder: Finder) -> Iterator[Entry]:
    for number, line in numbered_lines(path):
        where, words = f"{path} line {number}", line.split()
        image = finder.find(words[0], where)
        yield split, image, finder.find(words[1], where) if len(words) > 1 else None, words[0]


def _walked(root: Path) -> Iterator[Entry]:
    for path in files_below(root, (".jpg",)):
        yield None, path, None, str(path)


def _mask_of(root: Path, image: Path) -> Path | None:
    inner = image.relative_to(root).with_suffix(".png")
    return next((p for m in _MASKS if (p := root / m / inner).is_file()), None)


def lines_file(image: Path) -> Path | None:
    """Return the file of lane lines beside a picture, or None."""
    path = image.with_name(f"{image.stem}{_LINES}")
    return path if path.is_file() else None


def read_lines(path: Path) -> list[np.ndarray]:
    """Read (N, 2) x, y of each lane with at least two points. Raises InputError naming the line that is malformed."""
    lanes = []
    for number, line in numbered_lines(path):
        try:
            values = np.array(line.split(), float)
        except ValueError as error:
            raise InputError(f"{path} line {number}: is not a lane, numbers x y x y …: '{line:.60}'") from error
        if len(values) % 2 or not are_points(values):
            raise InputError(f"{path} line {number}: is not a lane, pairs of numbers x y")
        if len(values) > 2:
            lanes.append(values.reshape(-1, 2))
    return lanes
