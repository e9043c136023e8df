"""Cleans a class map: removes specks, and false paint above the road or on the car's own bonnet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SKY = 0.3  # share of the height above which parts are not road, unless a line below them reaches as high
_LINE = 3.0e-4  # of the picture's area: a part this large counts as a lane line when the horizon is estimated
_HORIZON = 0.45  # of the height: depth is measured from here downwards
_SPECK = 1.0e-4  # of the picture's area: a smaller part at the picture's bottom, far from others, is a speck
_DOT = 3.0e-5  # the same, however near other parts are
_ALONE = 0.1  # of the height: least distance to other parts of a part that stands alone
_EDGE = 0.3  # change of log luminance across two of ninety rows that counts as an edge
_STRIPS, _AGREE = 10, 8  # strips the picture is divided into, and how many of them must show the edge of a bonnet
_HIGHEST_BONNET = 0.7
_STEEP = 0.06  # of the height: a line this tall that ends this far below the edge shows that it is not a bonnet's
_REFLECTION = 2.0e-4  # of the picture's area: a smaller part on the bonnet is a reflection


@dataclass(frozen=True)
class _Parts:
    """The connected parts of a class map's foreground, in arrays of one length.

    Attributes:
        outlines: the outer outline of each part, for OpenCV.
        left, top, wide, high: bounding boxes, in pixels.
        share: area of each part as share of the class map, holes included.
        bottom: row below each part as share of the height.
        whole: whether the part is not cut off by the border of the picture.
        size: (height, width) of the class map.
    """

    outlines: Sequence[NDArray[np.int32]]
    left: Floats
    top: Floats
    wide: Floats
    high: Floats
    share: Floats
    bottom: Floats
    whole: NDArray[np.bool_]
    size: tuple[int, int]


def bonnet_edge(picture: NDArray[np.uint8]) -> float | None:
    """Return where the car's own bonnet or dashboard begins, as a share of the picture's height; None if none is seen.

    It is the row at which most of ten strips side by side change their brightness.

    Args:
        picture: (H, W, 3) RGB or (H, W) luma, uint8.
    """
    rows = 90
    small = cv2.resize(picture, (16 * _STRIPS, rows), interpolation=cv2.INTER_AREA)
    grey = small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    light = np.log(grey.astype(np.float32) + 8)
    strips = np.median(light.reshape(rows, _STRIPS, 16), axis=2)
    edges = (np.abs(strips[2:] - strips[:-2]) > _EDGE).astype(np.uint8)
    votes = cv2.dilate(edges, np.ones((3, 1), np.uint8)).sum(1)  # for rows 1 to 88
    votes[: int(_HIGHEST_BONNET * rows)] = 0
    best = int(votes.argmax())
    return (best + 1) / rows if votes[best] >= _AGREE else None


def clean(
    class_map: NDArray[np.uint8],
    picture: NDArray[np.uint8],
    background: int = 0,
    find_edge: Callable[[NDArray[np.uint8]], float | None] = bonnet_edge,
) -> NDArray[np.uint8]:
    """Remove the connected parts of the foreground that cannot be lane paint.

    It removes parts in the upper three tenths of the picture and above every line; specks, much smaller than paint
    would be at their distance; and, if the picture shows the upper edge of the car's own bonnet or dashboard, slivers
    along that edge and small parts below it. Everything else is left as it is: no part changes its shape.

    Args:
        class_map: (H, W) uint8 train ids.
        picture: (H, W, 3) RGB or (H, W) luma, uint8, the frame they belong to.
        background: the class that removed parts are given.
        find_edge: called with the picture if the upper edge of the bonnet matters.

    Returns:
        (H, W) uint8; `class_map` itself if there is nothing to remove.
    """
    foreground = class_map if background == 0 else cv2.compare(class_map, background, cv2.CMP_NE)
    parts = _parts_of(foreground)
    if parts is None:
        return class_map
    lines = parts.share >= _LINE
    highest = (parts.top[lines & (parts.bottom > _HORIZON)] / class_map.shape[0]).min(initial=1.0)
    remove = parts.bottom < min(_SKY, highest)
    remove |= _specks(parts, ~remove)
    remove |= _on_bonnet(parts, lines, lambda: find_edge(picture))
    if not remove.any():
        return class_map
    cleaned = class_map.copy()
    cv2.drawContours(cleaned, [parts.outlines[i] for i in np.flatnonzero(remove).tolist()], -1, background, cv2.FILLED)
    return cleaned


def _parts_of(foreground: NDArray[np.uint8]) -> _Parts | None:
    """Return the parts of what is not 0, or None if there are none.

    Outlines are many times faster than a map of labels, because there are few of them.
    """
    outlines, _ = cv2.findContours(foreground, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    height, width = foreground.shape
    boxes = np.array([cv2.boundingRect(outline) for outline in outlines], np.float64)
    left, top, wide, high = boxes.T
    # Pick's theorem: an outline runs through the centres of the part's outer pixels
    area = np.array([int(cv2.contourArea(outline) + len(outline) / 2 + 1) for outline in outlines])
    whole = (left > 0) & (left + wide < width) & (top + high < height)
    return _Parts(
        outlines, left, top, wide, high, area / foreground.size, (top + high) / height, whole, (height, width)
    )


def _specks(parts: _Parts, candidates: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which of the `candidates` are much smaller than paint would be at their distance."""
    depth = np.clip((parts.bottom - _HORIZON) / (1 - _HORIZON), 0, 1)
    share = parts.share
    specks: NDArray[np.bool_] = candidates & parts.whole & (share < _DOT * depth**3)
    centres = np.stack([parts.left + 0.5 * parts.wide, parts.top + 0.5 * parts.high], axis=1)
    for part in np.flatnonzero(candidates & parts.whole & ~specks & (share < _SPECK * depth**2)):
        larger = share >= share[part]
        larger[part] = False
        distance = np.hypot(*(centres[larger] - centres[part]).T)
        specks[part] = distance.min(initial=np.inf) > _ALONE * parts.size[0]
    return specks


def _on_bonnet(parts: _Parts, lines: NDArray[np.bool_], find_edge: Callable[[], float | None]) -> NDArray[np.bool_]:
    """Return which parts lie on the car's own bonnet, or along its edge; `lines` are parts as large as lane lines."""
    height = parts.size[0]
    flat = (parts.wide > 2.5 * parts.high) & (parts.high < 0.03 * height)
    small = parts.share < _REFLECTION
    if not ((flat | small) & (parts.bottom > _HIGHEST_BONNET - 0.03)).any():
        return np.zeros(len(flat), bool)  # whatever the picture shows, which takes longer to find out
    edge = find_edge()
    if edge is None or (lines & (parts.high > _STEEP * height) & (parts.bottom > edge + _STEEP)).any():
        return np.zeros(len(flat), bool)
    return (flat & (parts.bottom > edge - 0.03)) | (small & (parts.top / height > edge + 0.01))
