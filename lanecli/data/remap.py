"""Source labels to train ids by table, colours within a tolerance when asked, and pixel counts."""

from __future__ import annotations

import cv2
import numpy as np

from lanecli.data.manifest import IGNORED
from lanecli.labels import IGNORE_ID, LabelMap, unpack_color


def encode(label_map: LabelMap, source: np.ndarray, where: str, tolerance: int = 0) -> np.ndarray:
    """Source labels to (H, W) uint8 train ids.

    Args:
        label_map: what is known.
        source: (H, W) uint8 ids or (H, W, 3) uint8 RGB.
        where: the file, for errors.
        tolerance: how far each channel of a colour may be off (0..255); 0 takes exact colours only.

    Raises:
        InputError: an unknown id or colour, with its count and the nearest known one.
    """
    if tolerance and label_map.coding == "colors" and source.ndim == 3:
        source = snap_colors(label_map, source, tolerance)
    return label_map.encode(source, where)


def snap_colors(label_map: LabelMap, source: np.ndarray, tolerance: int) -> np.ndarray:
    """(H, W, 3) RGB with colours no further than `tolerance` in any channel moved onto the nearest known one."""
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
    """(256,) int64 pixel counts of a uint8 mask."""
    total = np.zeros(256, np.int64)
    # The histogram is made of float32 counts, exact up to 2**24 pixels.
    rows = max(1, (1 << 24) // max(1, mask.shape[1]))
    for top in range(0, mask.shape[0], rows):
        counts = cv2.calcHist([mask[top : top + rows]], [0], None, [256], [0, 256])
        total += counts.ravel().astype(np.int64)
    return total


def name_counts(label_map: LabelMap, counts: np.ndarray) -> dict[str, int]:
    """(256,) counts of mask values as pixels by class name, ignored ones last under ``"ignored"``.

    In a multi-label map a pixel counts for each of its classes.
    """
    if label_map.multilabel:
        values = np.arange(IGNORE_ID)
        named = {c.name: int(counts[values[values >> i & 1 == 1]].sum()) for i, c in enumerate(label_map.classes)}
    else:
        named = {c.name: int(counts[i]) for i, c in enumerate(label_map.classes)}
    return {**named, IGNORED: int(counts[IGNORE_ID])}
