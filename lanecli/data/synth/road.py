"""The road's centre line in plan and profile, and the point of the road that every pixel shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanecli.data.synth.camera import NEAR, Camera

VIEW = 520.0  # metres of road ahead of the car that are computed
BEHIND = 40.0  # metres of road behind the car that are computed, for what stands beside it
_SUBROWS = 16  # table entries per pixel row


@dataclass(frozen=True)
class RoadShape:
    """Curvature (1/m) and grade (m/m) along the road: a constant plus slow waves ``(amplitude, length, phase)``."""

    curvature: float
    bends: tuple[tuple[float, float, float], ...]
    hills: tuple[tuple[float, float, float], ...]

    def curvature_at(self, s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the curvature at the distances `s`, positive to the right."""
        return self.curvature + _waves(self.bends, s)

    def grade_at(self, s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the grade at the distances `s`, positive uphill."""
        return _waves(self.hills, s)


def _waves(waves: tuple[tuple[float, float, float], ...], s: NDArray[np.float64]) -> NDArray[np.float64]:
    total = np.zeros_like(s)
    for amplitude, length, phase in waves:
        total += amplitude * np.sin(2 * np.pi * s / length + phase)
    return total


@dataclass(frozen=True)
class GroundMap:
    """The point of the ground that every pixel from row `top` down shows, in arrays (H - top, W) float32.

    Attributes:
        top: first picture row of the arrays.
        u: metres right of the road's centre line.
        s: metres along the road.
        z: metres ahead of the camera; 0 where the pixel shows no ground.
        u_across: absolute change of u per pixel to the right.
        u_down: absolute change of u per pixel downwards.
        s_down: absolute change of s per pixel downwards.
        seen: whether the pixel shows ground.
    """

    top: int
    u: NDArray[np.float32]
    s: NDArray[np.float32]
    z: NDArray[np.float32]
    u_across: NDArray[np.float32]
    u_down: NDArray[np.float32]
    s_down: NDArray[np.float32]
    seen: NDArray[np.bool_]


class RoadView:
    """The road as seen from one position on it.

    Args:
        shape: the road's shape.
        camera: the camera.
        s: the car's distance along the road in metres.
        u: the car's distance right of the centre line in metres.
        yaw: the angle in radians by which the camera looks to the right of the road's direction.
    """

    def __init__(self, shape: RoadShape, camera: Camera, s: float, u: float, yaw: float) -> None:
        self.camera = camera
        self.s, self.u = s, u
        grid = np.arange(-BEHIND, VIEW + 1.0)
        here = int(BEHIND)
        bend = shape.curvature_at(s + grid)
        heading = _running(bend, here) - yaw
        along = s + grid
        x = _running(np.sin(heading), here) - u * np.cos(yaw)
        z = _running(np.cos(heading), here) - u * np.sin(yaw)
        grade = shape.grade_at(along)
        height = _running(grade - grade[here], here)
        turned = np.flatnonzero(np.cos(heading[here:]) < 0.3)
        stop = here + int(turned[0]) if turned.size else grid.size
        self._s, self._x, self._z = along[:stop], x[:stop], z[:stop]
        self._heading, self._height = heading[:stop], height[:stop]
        driven = np.linspace(0.0, s, int(abs(s)) + 2)
        turned_by = np.convolve(shape.curvature_at(driven), [0.5, 0.5], "valid") * (driven[1] - driven[0])
        self.azimuth = float(turned_by.sum()) + yaw
        self._tabulate()

    @property
    def reach(self) -> float:
        """The farthest distance along the road that is computed, in metres from its start."""
        return float(self._s[-1])

    @property
    def horizon_row(self) -> float:
        """The row of the ground's upper end, relative to the principal point, before roll and distortion."""
        return float(self._row0)

    def to_world(
        self, s: NDArray[np.float64] | float, u: NDArray[np.float64] | float, h: NDArray[np.float64] | float = 0.0
    ) -> NDArray[np.float64]:
        """Convert road points, `s` metres along, `u` right of the centre line, `h` above the road, to world points.

        Returns:
            (N, 3) world points.
        """
        s = np.atleast_1d(np.asarray(s, np.float64))
        heading = np.interp(s, self._s, self._heading)
        cos, sin = np.cos(heading), np.sin(heading)
        past = np.maximum(s - self._s[-1], 0.0) + np.minimum(s - self._s[0], 0.0)
        x = np.interp(s, self._s, self._x) + u * cos + past * sin
        points = np.empty((x.size, 3))
        points[:, 0] = x
        points[:, 2] = np.interp(s, self._s, self._z) - u * sin + past * cos
        points[:, 1] = np.interp(points[:, 2], self._z, self._height) + h
        return points

    def visible(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether ground points (N, 3) are ahead and not behind a crest."""
        z = np.maximum(points[:, 2], NEAR)
        slope = (self.camera.height - points[:, 1]) / z
        hidden_above = np.interp(z, self._grid_z, self._lowest_slope)
        return (points[:, 2] > NEAR) & (slope <= hidden_above + 2e-4)

    def pixels_per_metre(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the horizontal pixels per metre at world points (N, 3)."""
        return self.camera.focal / np.maximum(points[:, 2], NEAR)

    def _tabulate(self) -> None:
        camera = self.camera
        z = np.geomspace(NEAR, self._z[-1], 900)
        slope = (camera.height - np.interp(z, self._z, self._height)) / z
        lowest = np.minimum.accumulate(slope)
        self._grid_z, self._lowest_slope = z, lowest
        fresh = np.concatenate([[True], lowest[1:] < lowest[:-1] - 1e-9])
        rows, z = camera.slope_to_row(slope[fresh])[::-1], z[fresh][::-1]
        self._row0 = rows[0]
        reach = float(np.hypot(*camera.size)) * (1 + camera.distortion)
        steps = int(max(reach - self._row0, 1.0) * _SUBROWS) + 2
        row = self._row0 + np.arange(steps) / _SUBROWS
        depth = 1 / np.interp(row, rows, 1 / z)
        heading = np.interp(depth, self._z, self._heading)
        per_pixel = depth / (camera.focal * np.cos(camera.pitch) - row * np.sin(camera.pitch))
        centre = np.interp(depth, self._z, self._x)
        along = np.interp(depth, self._z, self._s)
        cos, sin = np.cos(heading), np.sin(heading)
        # u = scale * x' - shift and s = start + skew * x' for the undistorted column x'
        self._tables = [
            table.astype(np.float32)
            for table in (per_pixel * cos, centre * cos, along - centre * sin, per_pixel * sin, depth)
        ]

    def ground(self, across: NDArray[np.float32], down: NDArray[np.float32]) -> GroundMap:
        """Return the ground that pixels show whose rays (`Camera.rays`) are `across` and `down`, both (H, W)."""
        height = across.shape[0]
        above = down < self._row0
        rows = np.flatnonzero(~above.all(axis=1))
        top = int(rows[0]) if rows.size else height - 1
        x, seen = across[top:], ~above[top:]
        index = ((down[top:] - np.float32(self._row0)) * _SUBROWS + 0.5).astype(np.int32)
        np.clip(index, 0, self._tables[0].size - 1, out=index)
        scale, shift, start, skew, depth = self._tables
        per_row = np.float32(_SUBROWS)
        u_across = scale.take(index)
        u = u_across * x
        u -= shift.take(index)
        s = skew.take(index) * x
        s += start.take(index)
        u_down = np.gradient(scale).astype(np.float32).take(index) * x
        u_down -= np.gradient(shift).astype(np.float32).take(index)
        u_down *= per_row
        s_down = (np.abs(np.gradient(start)).astype(np.float32) * per_row).take(index)
        z = depth.take(index)
        z *= seen
        return GroundMap(top, u, s, z, u_across, np.abs(u_down, out=u_down), s_down, seen)


def _running(values: NDArray[np.float64], zero_at: int) -> NDArray[np.float64]:
    """Integrate by the trapezoid rule with unit steps; the integral is 0 at index `zero_at`."""
    total = np.concatenate([[0.0], np.cumsum((values[1:] + values[:-1]) / 2)])
    return total - total[zero_at]
