"""Reads CULane's ``.lines.txt`` as its C++ program does: one lane per line, pairs of numbers until reading fails."""

from __future__ import annotations

import math
import re

import numpy as np

_PLAIN = re.compile(rb"[0-9.eE+\-\s]*")
# what a C++ stream reads as one number, whether it can be converted or not
_NUMBER = re.compile(rb"[ \t\n\v\f\r]*([+-]?[0-9]*\.?[0-9]*(?:(?<=[0-9])[eE][+-]?[0-9]*|(?<=[0-9]\.)[eE][+-]?[0-9]*)?)")


def parse_lanes(data: bytes) -> tuple[list[np.ndarray], list[int]]:
    """Parse lanes; every line is a lane, even a blank line or a comment.

    A word that is not a number (``nan``, a comma, a number too large for a double) ends its lane. The pairs before it
    are kept; an odd number at the end is dropped.

    Args:
        data: contents of the file.

    Returns:
        (N, 2) float32 x, y of each lane, N from 0, and the numbers of the lines (from 1) that were not read to their
        end.
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
    """Parse a line of ordinary numbers quickly; None for any other line."""
    if not _PLAIN.fullmatch(line):
        return None
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        return None
    return values if all(map(math.isfinite, values)) else None


def _numbers(line: bytes) -> tuple[list[float], bool]:
    """Return the numbers up to where reading fails, and whether the line was read to its end.

    A number ends at the first character that cannot continue it: ``1.5.3`` is 1.5 and .3, ``5-3`` is 5 and -3.
    """
    values: list[float] = []
    position = 0
    while True:
        match = _NUMBER.match(line, position)
        try:
            value = float(match[1]) if match else math.inf
        except ValueError:
            value = math.inf
        if not match or math.isinf(value):
            return values, not line[position:].strip(b" \t\n\v\f\r")
        values.append(value)
        position = match.end()
