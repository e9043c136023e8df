"""Which classes of a label map are lane lines, and whether each class is one lane (a slot)."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from lanecli.labels import LabelMap

_LINES = re.compile(
    r"\b(lanes?|lines?|markings?|lanemkgs\w*|dividing|guiding|single|double|solid|dashed|yellow|white)\b"
)
_APOLLOSCAPE = re.compile(
    r"^(s|ds|sb|b|db) [wy] (d[no]?|g)$"
)  # ApolloScape's codes: single or double, colour, dividing or guiding
_OTHER = re.compile(
    r"\b(stop\w*|cross\w*|zebra|arrows?|areas?|drivable|words?|text|parking|background|not|curbs?|kerbs?|across|"
    r"road|direct|alternative)\b"
)


def is_slot_coded(label_map: LabelMap) -> bool:
    """Return whether every class but the background is one lane; mirroring a picture then reverses their order."""
    ids = [i for i in range(len(label_map.classes)) if i != label_map.background]
    swapped = {i for pair in label_map.swaps for i in pair}
    return len(ids) > 1 and not label_map.multilabel and len(ids) - len(swapped & set(ids)) <= len(ids) % 2


def line_classes(label_map: LabelMap) -> tuple[int, ...]:
    """Return the train ids of the classes that are painted lines along the road, judged by their names.

    Stop lines, crossings, arrows, kerbs and areas are excluded. The result is () if no class is a lane line.

    Example:
        >>> from lanecli.labelmaps import label_map
        >>> line_classes(label_map("lane"))
        (1,)
    """
    ids = [i for i in range(len(label_map.classes)) if i != label_map.background]
    if is_slot_coded(label_map):
        return tuple(ids)
    names = [name.lower().replace("_", " ").replace("-", " ") for name in label_map.names]
    return tuple(
        i for i in ids if _APOLLOSCAPE.match(names[i]) or (_LINES.search(names[i]) and not _OTHER.search(names[i]))
    )


@lru_cache(maxsize=16)
def _table(ids: tuple[int, ...]) -> np.ndarray:
    table = np.zeros(256, np.uint8)
    table[list(ids)] = 1
    table.setflags(write=False)
    return table


def line_table(ids: tuple[int, ...]) -> np.ndarray:
    """Return a lookup table, (256,) uint8: 1 for each of `ids`, 0 for all others."""
    return _table(ids)
