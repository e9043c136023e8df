"""CULane's ``.lines.txt``, read as its C++ program reads it: a lane a line, pairs of numbers until reading fails."""

from __future__ import annotations

import math
import re

import numpy as np

_PLAIN = re.compile(rb"[0-9.eE+\-\s]*")
# what a C++ stream takes for one number, whether it can be converted or not
_NUMBER = re.compile(rb"[ \t\n\v\f\r]*([+-]?[0-9]*\.?[0-9]*(?:(?<=[0-9])[eE][+-]?[0-9]*|(?<=[0-9]\.)[eE][+-]?[0-9]*)?)")


def parse_lanes(data: bytes) -> tuple[list[np.ndarray], list[int]]:
    """Every line is a lane, a blank one and a comment too.

    A number that is none (``nan``, a comma, one too large for a double) ends its lane; the pairs before it stay, and
    so does an odd number at the end not.

    Args:
        data: the file.

    Returns:
        (N, 2) float32 x, y of each lane, N from 0, and the numbers of the lines (from 1) that were not used up.
    """
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    lanes, cut = [], []
    for number, line in enumerate(lines, 1):
        values = _plain_numbers(line)
        if values is None:
            values, whole = _numbers(line)
        else:
            whole = True
        if len(values) % 2 or not whole:
            cut.append(number)
        pairs = np.array(values[: len(values) // 2 * 2]).reshape(-1, 2)
        with np.errstate(over="ignore"):
            lanes.append(pairs.astype(np.float32))
    return lanes, cut


def _plain_numbers(line: bytes) -> list[float] | None:
    """The quick way for a line of ordinary numbers; None for any other."""
    if not _PLAIN.fullmatch(line):
        return None
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        return None
    return values if all(map(math.isfinite, values)) else None


def _numbers(line: bytes) -> tuple[list[float], bool]:
    """Numbers until reading fails, and whether the line was read to its end.

    A number ends at the first character that cannot go on with it: ``1.5.3`` is 1.5 and .3, ``5-3`` is 5 and -3.
    """
    values: list[float] = []
    place = 0
    while True:
        found = _NUMBER.match(line, place)
        try:
            value = float(found[1]) if found else math.inf
        except ValueError:
            value = math.inf
        if not found or math.isinf(value):
            return values, not line[place:].strip(b" \t\n\v\f\r")
        values.append(value)
        place = found.end()
