"""What the reader of a dataset format returns: pairs of pictures and labels, and how to read a label."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lanecli.errors import InputError
from lanecli.labels import LabelMap
from lanecli.media.pictures import PICTURE_SUFFIXES, read_color_mask, read_mask


@dataclass(frozen=True)
class Pair:
    """One picture and its label, which have not been read yet.

    Attributes:
        image: the picture.
        name: path of its mask below ``masks/``, without suffix and with forward slashes; unique in the layout.
        group: pictures of one group must be in the same split.
        label: what the layout's `load` reads: a path, or shapes that are parsed already.
        split: the official split, or None if the layout does not give one.
        record: the label in one line as the dataset's own scorer reads it, to be kept beside the masks; or None.
    """

    image: Path
    name: str
    group: str
    label: Any
    split: str | None = None
    record: str | None = None


class MisreadError(InputError):
    """A label shows that the layout was read in the wrong way, and its alternative must be tried."""


@dataclass(frozen=True)
class LaneLine:
    """A lane line: (N, 2) x, y from near to far in pixel-centre coordinates of the picture, and its label, if any."""

    points: np.ndarray
    label: str | None = None


def read_ids(path: Path) -> np.ndarray:
    """Read a mask of ids, (H, W) uint8. A picture with three equal channels counts as grey.

    Raises:
        InputError: as for `read_mask`.
    """
    try:
        return read_mask(path)
    except InputError:
        try:
            color = read_color_mask(path)
        except InputError:
            color = None
        if color is None or (color != color[..., :1]).any():
            raise
        return np.ascontiguousarray(color[..., 0])


def load_mask(pair: Pair, label_map: LabelMap) -> np.ndarray:
    """Read the label file of a pair as uint8: (H, W) ids or (H, W, 3) RGB, depending on the label map's coding."""
    return read_ids(pair.label) if label_map.coding == "ids" else read_color_mask(pair.label)


@dataclass(frozen=True)
class Layout:
    """The contents of a dataset as its authors publish it, found by a reader.

    Attributes:
        pairs: the pairs, in a stable order.
        classes: the label map to use if the user gives none: its name, or one made from the labels.
        key: key of the source ids for this format in `lanecli.labelmaps.label_map`.
        load: reads a pair's source label for a label map, uint8: (H, W) ids or (H, W, 3) RGB.
        labels: source id of each label word, if labels are words.
        lane: returns the label map `lane` for these words, if labels are words.
        unused: label words that no annotation has; the label map made from the labels leaves them out.
        lanes: reads a pair's lane lines, or None if the layout has none.
        notes: lines for the user, such as how many pictures have no label.
        annotations: number of annotations that are used, or None if labels are masks.
        left_out: number of annotations that are left out, by reason.
        grouping: what a group is, in words for the user.
        guessed: whether groups are guessed from file names.
        splitting: where official splits come from, in words for the user.
        alternative: reads the same files in another way, for when this layout turns out to be wrong.
        question: takes the pixel counts (256,) of every pair and returns a question to the user if the reading is
            doubtful, else None.
    """

    pairs: tuple[Pair, ...]
    classes: str | LabelMap
    key: str
    load: Callable[[Pair, LabelMap], np.ndarray] = load_mask
    labels: Mapping[str, int] = field(default_factory=dict)
    lane: Callable[[], LabelMap] | None = None
    unused: tuple[str, ...] = ()
    lanes: Callable[[Pair], Sequence[LaneLine]] | None = None
    notes: tuple[str, ...] = ()
    annotations: int | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    grouping: str = "recording (the folder, and the name up to its last number)"
    guessed: bool = False
    splitting: str = "the layout's own"
    alternative: Callable[[], Layout] | None = None
    question: Callable[[Sequence[np.ndarray]], str | None] | None = None


@dataclass(frozen=True)
class Request:
    """The input of a reader.

    Attributes:
        source: the dataset's folder or file.
        images: the folder of the pictures, if the labels came without them.
        classes: the name or path of the label map that the user gave, or None.
        line_width: width in pixels of drawn lines; None for the layout's own.
        image_suffix: what the stems of picture files end with.
        mask_suffix: what the stems of mask files end with.
        unpack_to: folder for unpacked zip files and for pictures that are embedded in annotations.
    """

    source: Path
    images: Path | None = None
    classes: str | None = None
    line_width: int | None = None
    image_suffix: str = ""
    mask_suffix: str = ""
    unpack_to: Path | None = None


def files_below(root: Path, suffixes: Iterable[str] = PICTURE_SUFFIXES) -> Iterator[Path]:
    """Yield the files below `root` with one of `suffixes`, sorted, without hidden files and leftovers of archives.

    Links to folders are followed, and each folder is read once. Raises InputError if the folder does not exist.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder" if not root.exists() else f"{root}: is not a folder")
    wanted, seen = frozenset(suffixes), set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        # macOS leaves "._x" and __MACOSX in archives: files with names of pictures that are not pictures
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__MACOSX")
        for name in sorted(names):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in wanted:
                yield Path(folder, name)


def first_folder(root: Path, *choices: str) -> Path:
    """Return the first of `choices` that is a folder below `root`. Raises InputError with the choices if none is."""
    for choice in choices:
        if (root / choice).is_dir():
            return root / choice
    raise InputError(f"{root}: has no folder {' or '.join(repr(c) for c in choices)}; is it the right folder?")


def by_key(paths: Iterable[Path], key: Callable[[Path], str]) -> dict[str, Path]:
    """Return a dictionary of paths by their key. Raises InputError if two paths have the same key."""
    paths_by_key: dict[str, Path] = {}
    for path in paths:
        name = key(path)
        if name in paths_by_key:
            raise InputError(
                f"{path} and {paths_by_key[name]} both have the name '{name}'; give a folder that holds only one of "
                "them"
            )
        paths_by_key[name] = path
    return paths_by_key


def match(
    source: Path, images: Mapping[str, Path], labels: Mapping[str, Path]
) -> tuple[list[tuple[str, Path, Path]], tuple[str, ...]]:
    """Pair pictures with labels by key.

    Args:
        source: the dataset's folder, for error messages.
        images: pictures by key.
        labels: label files by key.

    Returns:
        (key, picture, label) for each key that has both, and notes about those that have only one.

    Raises:
        InputError: no key has both.
    """
    paired = [(key, image, labels[key]) for key, image in images.items() if key in labels]
    if not paired:
        example = next(iter(images.values()), None) or next(iter(labels.values()), None)
        raise InputError(
            f"{source}: no picture with a label ({len(images)} pictures, {len(labels)} labels"
            + (f", the first is {example.name}" if example else "")
            + "); is this the right format and folder?"
        )
    notes = []
    for what, here, there in (
        ("pictures without a label", images, labels),
        ("labels without a picture", labels, images),
    ):
        alone = [path for key, path in here.items() if key not in there]
        if alone:
            notes.append(f"{len(alone)} {what} left out, the first is {alone[0]}")
    return paired, tuple(notes)
