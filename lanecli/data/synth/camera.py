"""The dash camera: a pinhole with pitch, roll and one radial distortion term."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEAR = 0.6  # metres; nothing closer than this is projected


@dataclass(frozen=True)
class Camera:
    """A camera over the road.

    The axes of the world are X to the right, Y up from the road under the camera, and Z forward, in metres. Yaw and
    lateral position are not part of the camera but of the road as seen from the car (`road.RoadView`).

    Attributes:
        size: width and height of the picture in pixels.
        focal: focal length in pixels.
        height: metres above the road.
        pitch: radians; positive if the camera looks down.
        roll: radians; positive if the picture's content is turned clockwise.
        distortion: k in ``r_undistorted = r (1 + k r^2)``, with r in half picture widths; at least 0 (barrel).
    """

    size: tuple[int, int]
    focal: float
    height: float
    pitch: float
    roll: float
    distortion: float

    @property
    def centre(self) -> tuple[float, float]:
        """The principal point in pixel-centre coordinates."""
        return (self.size[0] - 1) / 2, (self.size[1] - 1) / 2

    def rays(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return undistorted coordinates of every pixel without roll, relative to the principal point: two (H, W)."""
        width, height = self.size
        cx, cy = self.centre
        x = np.arange(width, dtype=np.float32) - np.float32(cx)
        y = (np.arange(height, dtype=np.float32) - np.float32(cy))[:, None]
        cos, sin = np.float32(np.cos(self.roll)), np.float32(np.sin(self.roll))
        across, down = x * cos + y * sin, y * cos - x * sin
        if self.distortion:
            k = np.float32(self.distortion / (width / 2) ** 2)
            stretch = 1 + k * (x * x + y * y)
            across *= stretch
            down *= stretch
        return across, down

    def slope_to_row(self, slope: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the row, without roll and relative to the principal point, of rays that fall `slope` m per m."""
        return self.focal * np.tan(np.arctan(slope) - self.pitch)

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Project world points (N, 3) with Z >= NEAR to pixel-centre coordinates (N, 2)."""
        down = self.height - points[:, 1]
        cos, sin = np.cos(self.pitch), np.sin(self.pitch)
        depth = np.maximum(points[:, 2] * cos + down * sin, NEAR / 2)
        x = self.focal * points[:, 0] / depth
        y = self.focal * (down * cos - points[:, 2] * sin) / depth
        if self.distortion:
            # the only real root of k r^3 + r - wanted = 0 (depressed cubic, hyperbolic form)
            wanted = np.sqrt(x * x + y * y) / (self.size[0] / 2) + 1e-9
            root = np.sqrt(3 * self.distortion)
            shrink = 2 / root * np.sinh(np.arcsinh(1.5 * root * wanted) / 3) / wanted
            x, y = x * shrink, y * shrink
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        cx, cy = self.centre
        return np.stack([x * cos - y * sin + cx, x * sin + y * cos + cy], axis=1)
