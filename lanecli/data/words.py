"""Label words of annotation tools: ids for them, a label map of them, and which recording a picture is from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from lanecli.errors import InputError
from lanecli.labels import LabelClass, LabelMap

_TRAILING_NUMBER = re.compile(r"[-_. ]*\d+$")
_BACKGROUND = ("background", "_background_", "__background__")
_COLORS = (
    *((0, 255, 0), (0, 160, 255), (255, 128, 0), (255, 0, 255), (255, 255, 0), (128, 64, 255), (255, 0, 0)),
    *((0, 255, 200), (160, 96, 32), (128, 192, 255), (192, 255, 128), (255, 160, 192)),
)


def ids_of(words: Iterable[str], where: str) -> dict[str, int]:
    """Ids 1, 2, … for label words in alphabetical order; words for background get 0.

    Raises InputError when there are more than a mask of bytes can hold.
    """
    unique = sorted(set(words))
    if len(unique) > 253:
        raise InputError(f"{where}: {len(unique)} labels are more than the 253 a mask can hold")
    named = [w for w in unique if not is_background(w)]
    return {**{w: 0 for w in unique if w not in named}, **{w: i for i, w in enumerate(named, 1)}}


def is_background(word: str) -> bool:
    """Whether a label word means that there is nothing."""
    return word.lower() in _BACKGROUND


def map_of(
    name: str,
    labels: Mapping[str, int],
    colors: Mapping[str, tuple[int, int, int]] | None = None,
    coding: str = "ids",
) -> LabelMap:
    """A label map with a class for each word, after background (the words for it, else source 0)."""
    chosen = colors or {}
    nothing = sorted({v for w, v in labels.items() if is_background(w)}) or [0]
    classes = [
        LabelClass(word, chosen.get(word, _COLORS[i % len(_COLORS)]), (value,))
        for i, (word, value) in enumerate(w for w in labels.items() if not is_background(w[0]))
    ]
    return LabelMap(name, (LabelClass("background", (0, 0, 0), tuple(nothing)), *classes), (), coding)


def sequence_of(name: str) -> str:
    """The recording a picture is probably from: its folder, and its name up to the trailing number.

    ``town/frame_000012`` and ``town/frame_000013`` are both of ``town/frame``: neighbours must not straddle splits.
    Names that are numbers alone, in no folder, are all of ``all``.
    """
    path = PurePosixPath(name)
    stem = _TRAILING_NUMBER.sub("", path.name)
    parts = [p for p in (*path.parts[:-1], stem) if p]
    return "/".join(parts) or "all"


def split_of(word: str) -> str | None:
    """``train``, ``val`` or ``test`` when a file or folder name says so."""
    lowered = word.lower()
    return next((s for s in ("train", "val", "test") if re.search(rf"(^|[^a-z]){s}", lowered)), None)
