"""Sheets of small pictures, for looking at labels and predictions side by side."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from lanecli.draw.overlay import OverlayPainter, OverlayStyle
from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.media.frame import Frame

IGNORED_COLOR = (110, 60, 220)
_GAP = 6


def labelled(picture: np.ndarray, mask: np.ndarray, label_map: LabelMap) -> np.ndarray:
    """The picture with its labels drawn on it, ignored pixels tinted violet.

    Args:
        picture: (h, w, 3) uint8 RGB.
        mask: (h, w) uint8 train ids or, of a multi-label map, bits; 255 is ignored.
        label_map: the mask's.

    Returns:
        (h, w, 3) uint8 RGB, a new array.
    """
    overlay = picture.copy()
    overlay[mask == IGNORE_ID] = overlay[mask == IGNORE_ID] // 2 + np.array(IGNORED_COLOR, np.uint8) // 2
    if label_map.multilabel:
        # Of several labels at a pixel the last is drawn.
        planes = label_map.planes(mask) == 1
        mask = np.where(planes.any(0), len(planes) - 1 - planes[::-1].argmax(0), IGNORE_ID).astype(np.uint8)
    frame = Frame.from_rgb(overlay, 0, 0, Fraction(1, 25))
    style = OverlayStyle(alpha=0.55, contour=0)
    OverlayPainter(label_map.palette, names=label_map.names, background=label_map.background, style=style).paint(
        frame, mask
    )
    return frame.rgb()


def grid(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Tiles (h, w, 3) uint8 RGB of one width, row by row on white, with a gap behind and below each."""
    width = tiles[0].shape[1]
    rows = []
    for start in range(0, len(tiles), columns):
        row = tiles[start : start + columns]
        sheet = np.full((max(t.shape[0] for t in row) + _GAP, columns * (width + _GAP), 3), 255, np.uint8)
        for column, tile in enumerate(row):
            left = column * (width + _GAP)
            sheet[: tile.shape[0], left : left + width] = tile
        rows.append(sheet)
    return np.vstack(rows)
