"""What every reader of a public layout hands back: pairs of picture and label, and how a label is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
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


def load_mask(pair: Pair, label_map: LabelMap) -> np.ndarray:
    """The label file of a pair as the map's coding wants it: (H, W) ids or (H, W, 3) RGB, uint8."""
    return read_mask(pair.label) if label_map.coding == "ids" else read_color_mask(pair.label)


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
        notes: what a user should know: pictures without a label, and the like; one line each.
    """

    pairs: tuple[Pair, ...]
    classes: str | LabelMap
    key: str
    load: Callable[[Pair, LabelMap], np.ndarray] = load_mask
    labels: Mapping[str, int] = field(default_factory=dict)
    lane: Callable[[], LabelMap] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """What a reader is asked for.

    Attributes:
        source: the layout's folder or file.
        images: where the pictures are, when the labels came without them.
        classes: the label map the user named, if any.
        line_width: thickness in pixels lines are drawn with; None is the layout's own.
        image_suffix, mask_suffix: what a folder's file stems end with, before the file suffix.
        unpack_to: where a zip may be unpacked.
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
