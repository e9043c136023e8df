"""Flat roads drawn straight from the pinhole formula: masks and the true lines, independent of what is tested."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from lanecli.geometry import Size


@dataclass(frozen=True)
class Line:
    """A line `u` camera heights right of the camera; `dash` and `period` in camera heights along the road."""

    u: float
    width: float = 0.1
    period: float = 0.0
    dash: float = 0.0
    phase: float = 0.0


@dataclass(frozen=True)
class Road:
    """A road as one camera sees it; `bend` shifts it by bend / rows below the horizon."""

    size: Size = (640, 352)
    vx: float = 320.0
    vy: float = 150.0
    bend: float = 0.0
    focal: float = 550.0
    lines: tuple[Line, ...] = field(default=(Line(-1.2), Line(1.2)))

    def x(self, u: float, y: np.ndarray) -> np.ndarray:
        """Where the ground `u` to the right is seen in the rows `y`."""
        down = y - self.vy
        return self.vx + u * down + self.bend / down

    def rows(self) -> np.ndarray:
        """Rows that show ground well."""
        return np.arange(np.ceil(self.vy + 8), self.size[1])

    def mask(self) -> np.ndarray:
        """(H, W) uint8, 1 where paint is."""
        mask = np.zeros(self.size[::-1], np.uint8)
        columns = np.arange(self.size[0])
        for line in self.lines:
            for y in self.rows():
                if line.period and ((self.focal / (y - self.vy) - line.phase) % line.period) > line.dash:
                    continue
                left, right = (self.x(line.u + side * line.width / 2, np.array(y)) for side in (-1, 1))
                mask[int(y), (columns >= left) & (columns <= max(right, left + 1))] = 1
        return mask

    def truth(self, line: Line) -> np.ndarray:
        """(N, 2) x, y of the line where it is in the frame, near to far."""
        y = self.rows()[::-1]
        x = self.x(line.u, y)
        inside = (x >= 0) & (x <= self.size[0] - 1)
        return np.stack([x[inside], y[inside]], axis=1)

    def paint(self, mask: np.ndarray, corners: list[tuple[float, float]]) -> None:
        """Fill a shape given by (u, distance in camera heights)."""
        points = []
        for u, distance in corners:
            down = self.focal / distance
            points.append((self.vx + u * down + self.bend / down, self.vy + down))
        cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)


def error(points: np.ndarray, truth: np.ndarray) -> float:
    """Largest horizontal distance of a found line from the true one in the true one's rows that it covers."""
    rows = truth[:, 1]
    covered = (rows <= points[0, 1] + 0.5) & (rows >= points[-1, 1])
    x = np.interp(rows[covered], points[::-1, 1], points[::-1, 0])
    return float(np.abs(x - truth[covered, 0]).max(initial=0.0))
