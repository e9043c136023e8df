"""Which lines bound the lane the camera drives in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lanecli.geometry import Size
from lanecli.lanes.lane import Role
from lanecli.lanes.perspective import Perspective

Floats = NDArray[np.floating]

NEXT = 3.4
"""Camera heights, some 4.5 m: a line farther to the side does not bound the lane that the camera is in."""


def foot(points: Floats, height: int) -> float:
    """Where a line, or its straight continuation from its nearest points, meets the bottom row of the frame."""
    x, y = points[0].tolist()
    far_x, far_y = points[min(len(points), max(2, len(points) // 4)) - 1].tolist()
    if y >= height - 2 or len(points) < 2:
        return float(x)
    return float(x + (x - far_x) / max(y - far_y, 1e-6) * (height - 1 - y))


def roles(lines: Sequence[Floats], offsets: Sequence[float], view: Perspective, size: Size) -> list[Role | None]:
    """A role for each line.

    A line is left or right by where it meets the bottom row, as the field counts lanes; of each side the one nearest
    to the middle bounds the own lane, if it is near enough.

    Args:
        lines: points (N, 2) in pixels of the frame, near to far.
        offsets: how far right of the camera each lies, in camera heights; counts where `view` is certain.
        view: the perspective.
        size: width and height of the frame.
    """
    middle = (size[0] - 1) / 2
    feet = np.array([foot(points, size[1]) for points in lines])
    found: list[Role | None] = ["left" if x < middle else "right" for x in feet]
    for side, role in (("left", "ego-left"), ("right", "ego-right")):
        beside = [i for i, word in enumerate(found) if word == side]
        if beside:
            nearest = min(beside, key=lambda i: abs(feet[i] - middle))
            if not view.certain or abs(offsets[nearest]) < NEXT:
                found[nearest] = role  # type: ignore[call-overload]
    return found
