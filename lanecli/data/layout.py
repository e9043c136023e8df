"""What every reader of a public layout hands back: pairs of picture and label, and how a label is read."""

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
    """One picture and its label, not read yet.

    Attributes:
        image: the picture.
        name: where its mask goes below ``masks/``, without suffix, forward slashes; unique in the layout.
        group: what must not straddle splits.
        label: what the layout's loader reads: a path, or shapes already parsed.
        split: the official split it belongs to, if the layout says one.
        record: the label as the layout's own scorer reads it, one line, kept beside the masks.
    """

    image: Path
    name: str
    group: str
    label: Any
    split: str | None = None
    record: str | None = None


class MisreadError(InputError):
    """A label shows that the layout was read in the wrong way; its other reading is to be tried."""


@dataclass(frozen=True)
class LaneLine:
    """A lane line of a label: (N, 2) x, y from near to far, pixel-centre coordinates of the label's picture."""

    points: np.ndarray
    label: str | None = None


def read_ids(path: Path) -> np.ndarray:
    """(H, W) uint8 ids; a grey picture saved in three equal channels counts as grey.

    Raises:
        InputError: as `read_mask`.
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
    """The label file of a pair as the map's coding wants it: (H, W) ids or (H, W, 3) RGB, uint8."""
    return read_ids(pair.label) if label_map.coding == "ids" else read_color_mask(pair.label)


@dataclass(frozen=True)
class Layout:
    """What a reader found.

    Attributes:
        pairs: in a stable order.
        classes: the label map used when the user names none: a name, or one made of the labels found.
        key: which layout `lanecli.labelmaps.label_map` picks source sides for.
        load: reads a pair's source label for a label map.
        labels: label words and their source ids, where labels are words.
        lane: `lane` for these words, where labels are words.
        unused: label words no annotation uses; the label map made of the labels leaves them out.
        lanes: reads a pair's lane lines, where the layout has them.
        notes: what a user should know: pictures without a label, and the like; one line each.
        annotations: how many annotations are used, where labels are annotations.
        left_out: reason -> how many annotations were left out for it.
        grouping: what a group is, for the user.
        guessed: whether groups are guessed from file names.
        splitting: where official splits come from, for the user.
        otherwise: another reading of the same files, if this one turns out wrong.
        doubt: given the pixel counts (256,) of every pair, what makes the reading doubtful, or None.
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
    otherwise: Callable[[], Layout] | None = None
    doubt: Callable[[Sequence[np.ndarray]], str | None] | None = None


@dataclass(frozen=True)
class Request:
    """What a reader is asked for.

    Attributes:
        source: the layout's folder or file.
        images: where the pictures are, when the labels came without them.
        classes: the label map the user named, if any.
        line_width: thickness in pixels lines are drawn with; None is the layout's own.
        image_suffix, mask_suffix: what a folder's file stems end with, before the file suffix.
        unpack_to: where a zip may be unpacked, and pictures be put that lie inside of annotations.
    """

    source: Path
    images: Path | None = None
    classes: str | None = None
    line_width: int | None = None
    image_suffix: str = ""
    mask_suffix: str = ""
    unpack_to: Path | None = None


def files_below(root: Path, suffixes: Iterable[str] = PICTURE_SUFFIXES) -> Iterator[Path]:
    """Files with one of `suffixes` below `root`, sorted; hidden files and archive leftovers are passed over.

    Links to folders are followed, each folder once. Raises InputError when there is no such folder.
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
        # "._x" and __MACOSX are what macOS leaves in archives: files named like pictures that are none.
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__MACOSX")
        for name in sorted(names):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in wanted:
                yield Path(folder, name)


def first_folder(root: Path, *choices: str) -> Path:
    """The first of `choices` that is a folder below `root`. Raises InputError naming what was looked for."""
    for choice in choices:
        if (root / choice).is_dir():
            return root / choice
    raise InputError(f"{root}: has no folder {' or '.join(repr(c) for c in choices)}; is it the right folder?")


def by_key(paths: Iterable[Path], key: Callable[[Path], str]) -> dict[str, Path]:
    """Paths by key. Raises InputError when two share one."""
    found: dict[str, Path] = {}
    for path in paths:
        word = key(path)
        if word in found:
            raise InputError(f"{path} and {found[word]} both answer to '{word}'; give a folder that holds one of them")
        found[word] = path
    return found


def match(
    source: Path, images: Mapping[str, Path], labels: Mapping[str, Path]
) -> tuple[list[tuple[str, Path, Path]], tuple[str, ...]]:
    """(key, picture, label) of keys that have both, and notes on those that have one.

    Raises InputError when no key has both.
    """
    paired = [(key, image, labels[key]) for key, image in images.items() if key in labels]
    if not paired:
        example = next(iter(images.values()), None) or next(iter(labels.values()), None)
        raise InputError(
            f"{source}: no picture with a label ({len(images)} pictures, {len(labels)} labels"
            + (f", the first is {example.name}" if example else "")
            + "); is it this layout and the right folder?"
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
