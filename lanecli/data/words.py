"""Reads words: label words of annotation tools, and the recording and split that file names tell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from lanecli.errors import InputError
from lanecli.labels import IGNORE_ID, LabelClass, LabelMap

_TRAILING_NUMBER = re.compile(r"[-_. ]*\d+$")
_EXPORTED_COPY = re.compile(r"[._](jpe?g|png|bmp|webp|tiff?)\.rf\.[^./]+$", re.IGNORECASE)
_BACKGROUND = ("background", "_background_", "__background__")
_IGNORED = ("__ignore__", "_ignore_")
_SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_SPLIT_WORD = re.compile(rf"(?<![a-z])({'|'.join(sorted(_SPLITS, key=len, reverse=True))})(?![a-z])")
_COLORS = (
    *((0, 255, 0), (0, 160, 255), (255, 128, 0), (255, 0, 255), (255, 255, 0), (128, 64, 255), (255, 0, 0)),
    *((0, 255, 200), (160, 96, 32), (128, 192, 255), (192, 255, 128), (255, 160, 192)),
)


def ids_of(words: Iterable[str], where: str) -> dict[str, int]:
    """Return ids 1, 2, … for label words in the order given; 0 for words for background, `IGNORE_ID` for ignored.

    Args:
        words: the label words; repeated ones count once.
        where: the file, for the error message.

    Raises:
        InputError: there are more labels than a mask of bytes can hold.

    Example:
        >>> ids_of(["background", "line", "arrow"], "a.json")
        {'background': 0, 'line': 1, 'arrow': 2}
    """
    unique = list(dict.fromkeys(words))
    if len(unique) > IGNORE_ID - 2:
        raise InputError(f"{where}: {len(unique)} labels are more than the {IGNORE_ID - 2} a mask can hold")
    classes = [w for w in unique if not is_background(w) and not is_ignored(w)]
    fixed = {w: IGNORE_ID if is_ignored(w) else 0 for w in unique if w not in classes}
    return {**fixed, **{w: i for i, w in enumerate(classes, 1)}}


def is_background(word: str) -> bool:
    """Whether a label word means background."""
    return word.lower() in _BACKGROUND


def is_ignored(word: str) -> bool:
    """Whether a label word means ignored pixels (LabelMe's ``__ignore__``)."""
    return word.lower() in _IGNORED


def label_map_of(
    name: str,
    labels: Mapping[str, int],
    colors: Mapping[str, tuple[int, int, int]] | None = None,
    coding: str = "ids",
) -> LabelMap:
    """Return a label map with the background and a class for each label word.

    Args:
        name: the label map's name.
        labels: the source id or packed colour of each label word. Without a word for background, it has source 0.
        colors: the RGB colour of each label word, as far as known.
        coding: ``"ids"`` or ``"colors"``.
    """
    chosen = colors or {}
    nothing = sorted({v for w, v in labels.items() if is_background(w)}) or [0]
    ignored = sorted({v for w, v in labels.items() if is_ignored(w)})
    words = [w for w in labels if not is_background(w) and not is_ignored(w)]
    classes = [LabelClass(w, chosen.get(w, _COLORS[i % len(_COLORS)]), (labels[w],)) for i, w in enumerate(words)]
    return LabelMap(name, (LabelClass("background", (0, 0, 0), tuple(nothing)), *classes), tuple(ignored), coding)


def sequence_of(name: str) -> str:
    """Guess the recording that a picture is from: its folder, and its name up to the trailing number.

    What Roboflow adds to the names of exported copies is removed first, so ``drive_0003_jpg.rf.c16a…`` is from
    ``drive``. Names that are only a number and have no folder are from ``all``.

    Example:
        >>> sequence_of("town/frame_000012"), sequence_of("town/frame_000013")
        ('town/frame', 'town/frame')
    """
    path = PurePosixPath(name)
    stem = _TRAILING_NUMBER.sub("", _EXPORTED_COPY.sub("", path.name))
    parts = [p for p in (*path.parts[:-1], stem) if p]
    return "/".join(parts) or "all"


def split_of(word: str) -> str | None:
    """Return ``train``, ``val`` or ``test`` if a file or folder name has such a word, perhaps with a number after it.

    Example:
        >>> split_of("instances_train2017"), split_of("valid"), split_of("trainees")
        ('train', 'val', None)
    """
    match = _SPLIT_WORD.search(word.lower())
    return _SPLITS[match[1]] if match else None
