"""Cleans a class map: removes specks, and false paint above the road or on the car's own bonnet."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

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


def clean(class_map: NDArray[np.uint8], picture: NDArray[np.uint8], background: int = 0) -> NDArray[np.uint8]:
    """Remove the connected parts of the foreground that cannot be lane paint.

    It removes parts in the upper three tenths of the picture and above every line; specks, much smaller than paint
    would be at their distance; and, if the picture shows the upper edge of the car's own bonnet or dashboard, slivers
    along that edge and small parts below it. Everything else is left as it is: no part changes its shape.

    Args:
        class_map: (H, W) uint8 train ids.
        picture: (H, W, 3) RGB or (H, W) luma, uint8, the frame they belong to.
        background: the class that removed parts are given.

    Returns:
        (H, W) uint8; `class_map` itself if there is nothing to remove.
    """
    is_foreground = (class_map != background).astype(np.uint8)
    count, labels, stats, centres = cv2.connectedComponentsWithStats(is_foreground, connectivity=8)
    if count == 1:
        return class_map
    height, width = class_map.shape
    left, top, wide, high, area = stats[1:].T.astype(np.float64)
    bottom, share = (top + high) / height, area / class_map.size
    depth = np.clip((bottom - _HORIZON) / (1 - _HORIZON), 0, 1)
    whole = (left > 0) & (left + wide < width) & (top + high < height)  # not cut off by the picture's border
    lines = share >= _LINE
    highest = (top[lines & (bottom > _HORIZON)] / height).min(initial=1.0)
    remove = bottom < min(_SKY, highest)
    remove |= whole & (share < _DOT * depth**3)
    small = np.flatnonzero(whole & ~remove & (share < _SPECK * depth**2))
    for part in small:
        larger = share >= share[part]
        larger[part] = False
        distance = np.hypot(*(centres[1:][larger] - centres[1:][part]).T)
        remove[part] = distance.min(initial=np.inf) > _ALONE * height
    edge = bonnet_edge(picture)
    if edge is not None and not (lines & (high > _STEEP * height) & (bottom > edge + _STEEP)).any():
        flat = (wide > 2.5 * high) & (high < 0.03 * height) & (bottom > edge - 0.03)
        below = (top / height > edge + 0.01) & (share < _REFLECTION)
        remove |= flat | below
    if not remove.any():
        return class_map
    gone = np.concatenate([[False], remove])
    cleaned = class_map.copy()
    cleaned[gone[labels]] = background
    return cleaned


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
