"""Encodes source labels to train ids, optionally with a tolerance for colours, and counts pixels."""

from __future__ import annotations

import cv2
import numpy as np

from lanecli.data.manifest import IGNORED
from lanecli.labels import IGNORE_ID, LabelMap, unpack_color


def encode(label_map: LabelMap, source: np.ndarray, where: str, tolerance: int = 0) -> np.ndarray:
    """Encode source labels to (H, W) uint8 train ids.

    Args:
        label_map: the classes and their source ids or colours.
        source: (H, W) uint8 ids or (H, W, 3) uint8 RGB.
        where: the file, for error messages.
        tolerance: largest deviation of a colour, per channel, 0..255; 0 for exact colours only.

    Raises:
        InputError: an id or colour is unknown; the message gives its pixel count and the nearest known value.
    """
    if tolerance and label_map.coding == "colors" and source.ndim == 3:
        source = snap_colors(label_map, source, tolerance)
    return label_map.encode(source, where)


def snap_colors(label_map: LabelMap, source: np.ndarray, tolerance: int) -> np.ndarray:
    """Replace colours of (H, W, 3) RGB by the nearest known colour, if no channel differs by more than `tolerance`."""
    known = np.array(
        [unpack_color(v) for v in (*label_map.ignored, *(v for c in label_map.classes for v in c.sources))]
    )
    wide = source.astype(np.int32)
    found, where = np.unique(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2], return_inverse=True)
    colors = np.stack([found >> 16 & 255, found >> 8 & 255, found & 255], axis=1)
    for row, color in enumerate(colors):
        distance = np.abs(known - color).max(axis=1)
        if distance.min() <= tolerance:
            colors[row] = known[distance.argmin()]
    return colors.astype(np.uint8)[where.reshape(source.shape[:2])]


def histogram(mask: np.ndarray) -> np.ndarray:
    """Return the (256,) int64 pixel counts of a uint8 mask."""
    total = np.zeros(256, np.int64)
    # OpenCV counts in float32, which is exact up to 2**24 pixels
    rows = max(1, (1 << 24) // max(1, mask.shape[1]))
    for top in range(0, mask.shape[0], rows):
        counts = cv2.calcHist([mask[top : top + rows]], [0], None, [256], [0, 256])
        total += counts.ravel().astype(np.int64)
    return total


def counts_by_class(label_map: LabelMap, counts: np.ndarray) -> dict[str, int]:
    """Convert (256,) counts of mask values to pixel counts by class name, with ignored pixels last.

    With a multi-label map a pixel counts for each of its classes.
    """
    if label_map.multilabel:
        values = np.arange(IGNORE_ID)
        by_class = {c.name: int(counts[values[values >> i & 1 == 1]].sum()) for i, c in enumerate(label_map.classes)}
    else:
        by_class = {c.name: int(counts[i]) for i, c in enumerate(label_map.classes)}
    return {**by_class, IGNORED: int(counts[IGNORE_ID])}
