"""Label words of annotation tools: ids for them, a label map of them, and which recording a picture is from."""

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
    """Ids 1, 2, … for label words in the order given; words for background get 0, those for ignored `IGNORE_ID`.

    Raises InputError when there are more than a mask of bytes can hold.
    """
    unique = list(dict.fromkeys(words))
    if len(unique) > IGNORE_ID - 2:
        raise InputError(f"{where}: {len(unique)} labels are more than the {IGNORE_ID - 2} a mask can hold")
    named = [w for w in unique if not is_background(w) and not is_ignored(w)]
    fixed = {w: IGNORE_ID if is_ignored(w) else 0 for w in unique if w not in named}
    return {**fixed, **{w: i for i, w in enumerate(named, 1)}}


def is_background(word: str) -> bool:
    """Whether a label word means that there is nothing."""
    return word.lower() in _BACKGROUND


def is_ignored(word: str) -> bool:
    """Whether a label word means pixels that count for nothing (LabelMe's ``__ignore__``)."""
    return word.lower() in _IGNORED


def map_of(
    name: str,
    labels: Mapping[str, int],
    colors: Mapping[str, tuple[int, int, int]] | None = None,
    coding: str = "ids",
) -> LabelMap:
    """A label map with a class for each word, after background (the words for it, else source 0)."""
    chosen = colors or {}
    nothing = sorted({v for w, v in labels.items() if is_background(w)}) or [0]
    ignored = sorted({v for w, v in labels.items() if is_ignored(w)})
    words = [w for w in labels if not is_background(w) and not is_ignored(w)]
    classes = [LabelClass(w, chosen.get(w, _COLORS[i % len(_COLORS)]), (labels[w],)) for i, w in enumerate(words)]
    return LabelMap(name, (LabelClass("background", (0, 0, 0), tuple(nothing)), *classes), tuple(ignored), coding)


def sequence_of(name: str) -> str:
    """The recording a picture is probably from: its folder, and its name up to the trailing number.

    ``town/frame_000012`` and ``town/frame_000013`` are both of ``town/frame``: neighbours must not straddle splits.
    What Roboflow adds to the name of each copy it exports is taken off first (``drive_0003_jpg.rf.c16a…`` is of
    ``drive``). Names that are numbers alone, in no folder, are all of ``all``.
    """
    path = PurePosixPath(name)
    stem = _TRAILING_NUMBER.sub("", _EXPORTED_COPY.sub("", path.name))
    parts = [p for p in (*path.parts[:-1], stem) if p]
    return "/".join(parts) or "all"


def split_of(word: str) -> str | None:
    """``train``, ``val`` or ``test`` when a file or folder name says so: as a word, perhaps with a number behind it."""
    found = _SPLIT_WORD.search(word.lower())
    return _SPLITS[found[1]] if found else None
