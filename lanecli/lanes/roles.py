"""Decides which lines bound the lane the camera drives in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lanecli.geometry import Size
from lanecli.lanes.lane import Role
from lanecli.lanes.perspective import Perspective

Floats = NDArray[np.floating]

FARTHEST_BOUND = 3.4
"""Camera heights (about 4.5 m): a line farther to the side does not bound the lane that the camera is in."""


def x_at_bottom(points: Floats, height: int) -> float:
    """Return x where a line, or its straight continuation from its nearest points, meets the bottom row of the frame.

    Args:
        points: (N, 2) x, y from near to far, in pixels of the frame.
        height: height of the frame in pixels.

    Example:
        >>> x_at_bottom(np.array([[100.0, 80.0], [110.0, 60.0]]), 101)
        90.0
    """
    x, y = points[0].tolist()
    far_x, far_y = points[min(len(points), max(2, len(points) // 4)) - 1].tolist()
    if y >= height - 2 or len(points) < 2:
        return float(x)
    return float(x + (x - far_x) / max(y - far_y, 1e-6) * (height - 1 - y))


def find_roles(lines: Sequence[Floats], offsets: Sequence[float], view: Perspective, size: Size) -> list[Role | None]:
    """Return the role of each line.

    The point where a line meets the bottom row decides whether it is left or right, as is usual for lanes. On each
    side, the line nearest to the middle bounds the own lane, if it is near enough.

    Args:
        lines: the points of each line, (N, 2) in pixels of the frame, from near to far.
        offsets: distance of each line to the right of the camera, in camera heights; used only if `view` is certain.
        view: the perspective.
        size: (width, height) of the frame.
    """
    middle = (size[0] - 1) / 2
    bottom_xs = np.array([x_at_bottom(points, size[1]) for points in lines])
    assigned: list[Role | None] = ["left" if x < middle else "right" for x in bottom_xs]
    for side, role in (("left", "ego-left"), ("right", "ego-right")):
        beside = [i for i, given in enumerate(assigned) if given == side]
        if beside:
            nearest = min(beside, key=lambda i: abs(bottom_xs[i] - middle))
            if not view.certain or abs(offsets[nearest]) < FARTHEST_BOUND:
                assigned[nearest] = role  # type: ignore[call-overload]
    return assigned
