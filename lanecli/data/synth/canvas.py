"""The canvas: the picture, the distance of everything painted, and which objects cover the ground."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lanecli.data.synth.camera import NEAR, Camera

_SHIFT = 4  # sub-pixel bits handed to OpenCV's fill functions
_LIMIT = 16000.0
_AREA_PER_LEVEL = 4.0
Pyramid = tuple[NDArray[np.uint8], ...]
Colour = tuple[float, float, float]


def fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Pixel coordinates as OpenCV fixed-point integers with `_SHIFT` fractional bits."""
    return np.round(np.clip(points, -_LIMIT, _LIMIT) * (1 << _SHIFT)).astype(np.int32)


def fill(layer: NDArray[np.uint8], points: NDArray[np.float64], value: float | Colour, smooth: bool = True) -> None:
    """Fill a polygon (N, 2) in an 8-bit layer."""
    cv2.fillPoly(layer, [fixed(points)], value, cv2.LINE_AA if smooth else cv2.LINE_8, _SHIFT)


class Canvas:
    """An image, its depth, and its cover by objects.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        depth: (H, W) float32 in metres. Objects change it only with `track_depth`, for haze and lamplight.
        cover: (H, W) uint8, 1 where an object hides the ground.
    """

    def __init__(self, camera: Camera, image: NDArray[np.uint8], depth: NDArray[np.float32], track_depth: bool) -> None:
        self.camera, self.track_depth = camera, track_depth
        self.image, self.depth = image, depth
        self.cover = np.zeros(depth.shape, np.uint8)
        self.lights: list[tuple[float, float, float, Colour]] = []

    def polygon(self, points: NDArray[np.float64], colour: Colour, solid: bool = True) -> None:
        """Paint a flat polygon of world points (N, 3); with `solid`, also into depth and cover."""
        points = clip_near(points)
        if len(points) < 3:
            return
        pixels = self.camera.project(points)
        low, high = pixels.min(axis=0), pixels.max(axis=0)
        width, height = self.camera.size
        if high[0] < 0 or high[1] < 0 or low[0] > width or low[1] > height:
            return
        fill(self.image, pixels, colour)
        if solid:
            fill(self.cover, pixels, 1, smooth=False)
            if self.track_depth:
                cv2.fillPoly(self.depth, [fixed(pixels)], float(points[:, 2].mean()), cv2.LINE_8, _SHIFT)

    def polygons(self, points: NDArray[np.float64], faces: list[tuple[int, Colour, bool]]) -> None:
        """Paint flat polygons, given as (number of corners, colour, solid), whose corners are in `points` in order."""
        if points[:, 2].min() < NEAR:
            at = 0
            for count, colour, solid in faces:
                self.polygon(points[at : at + count], colour, solid)
                at += count
            return
        pixels = self.camera.project(points)
        width, height = self.camera.size
        low, high = pixels.min(axis=0), pixels.max(axis=0)
        if high[0] < 0 or high[1] < 0 or low[0] > width or low[1] > height:
            return
        chain = fixed(pixels)
        depth = float(points[:, 2].min())
        at = 0
        for count, colour, solid in faces:
            outline = [chain[at : at + count]]
            at += count
            cv2.fillPoly(self.image, outline, colour, cv2.LINE_AA, _SHIFT)
            if solid:
                cv2.fillPoly(self.cover, outline, 1, cv2.LINE_8, _SHIFT)
                if self.track_depth:
                    cv2.fillPoly(self.depth, outline, depth, cv2.LINE_8, _SHIFT)

    def line(self, points: NDArray[np.float64], thickness: float, colour: Colour, solid: bool = True) -> None:
        """Draw a line through world points (N, 3), `thickness` metres wide; a line below a pixel is drawn fainter."""
        points = points[points[:, 2] > NEAR]
        if len(points) < 2:
            return
        pixels = self.camera.project(points)
        mean_depth = float(points[:, 2].mean())
        wide = thickness * self.camera.focal / mean_depth
        if wide < 0.25:
            return
        chain = [fixed(pixels)]
        cv2.polylines(self.image, chain, False, colour, max(1, round(wide)), cv2.LINE_AA, _SHIFT)
        if solid and wide >= 0.8:
            cv2.polylines(self.cover, chain, False, 1, max(1, round(wide)), cv2.LINE_8, _SHIFT)
            if self.track_depth:
                cv2.polylines(self.depth, chain, False, mean_depth, max(1, round(wide)), cv2.LINE_8, _SHIFT)

    def quad(self, points: NDArray[np.float64], texture: Pyramid, shade: float | Colour = 1.0) -> None:
        """Cover a quad (4, 3), from its upper left corner clockwise, with an RGBA texture."""
        if points[:, 2].min() < NEAR:
            return
        pixels = self.camera.project(points)
        width, height = self.camera.size
        low = np.maximum(np.floor(pixels.min(axis=0)).astype(int), 0)
        high = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + 1, [width, height])
        if (high - low).min() < 1:
            return
        area = abs(_area(pixels))
        if area < 0.2:
            return
        full = texture[0].shape[0] * texture[0].shape[1]
        level = int(np.clip(np.log(full / area) / np.log(_AREA_PER_LEVEL), 0, len(texture) - 1))
        picture = texture[level]
        h, w = picture.shape[:2]
        source = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32) - 0.5
        matrix = cv2.getPerspectiveTransform(source, (pixels - low).astype(np.float32))
        box = (int(high[0] - low[0]), int(high[1] - low[1]))
        drawn = cv2.warpPerspective(picture, matrix, box, flags=cv2.INTER_LINEAR)
        rows, columns = slice(low[1], high[1]), slice(low[0], high[0])
        alpha = drawn[..., 3]
        colour = drawn[..., :3] * np.asarray(shade, np.float32)
        target = self.image[rows, columns]
        colour -= target
        colour *= (alpha * np.float32(1 / 255))[..., None]
        target[:] = np.clip(colour + target, 0, 255)
        painted = alpha > 127
        self.cover[rows, columns] |= painted
        if self.track_depth:
            np.copyto(self.depth[rows, columns], np.float32(points[:, 2].mean()), where=painted)

    def light(self, point: NDArray[np.float64], radius: float, colour: Colour) -> None:
        """Add a light source at a world point (3,) with a radius in metres; its glow is painted later."""
        if point[2] < 2.0:
            return
        x, y = self.camera.project(point[None])[0]
        self.lights.append((float(x), float(y), radius * self.camera.focal / float(point[2]), colour))


def clip_near(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the part of a polygon (N, 3) in front of the near plane."""
    ahead = points[:, 2] >= NEAR
    if ahead.all():
        return points
    kept = []
    for i in range(len(points)):
        a, b = points[i - 1], points[i]
        if ahead[i - 1] != ahead[i]:
            t = (NEAR - a[2]) / (b[2] - a[2])
            kept.append(a + t * (b - a))
        if ahead[i]:
            kept.append(b)
    return np.array(kept).reshape(-1, 3)


def _area(points: NDArray[np.float64]) -> float:
    """Return the area of a quad, from its diagonals."""
    (ax, ay), (bx, by) = (points[2] - points[0]).tolist(), (points[3] - points[1]).tolist()
    return (ax * by - ay * bx) / 2
