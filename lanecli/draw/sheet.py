"""Sheets of small pictures, to compare labels and predictions side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lanecli.errors import printable
from lanecli.labels import IGNORE_ID, LabelMap

IGNORED_COLOR = (110, 60, 220)
_ALPHA = 0.55  # opacity of labels
_GAP = 6
_TEXT = 14  # pixels


def labelled(picture: np.ndarray, mask: np.ndarray, label_map: LabelMap) -> np.ndarray:
    """Return the picture with its labels drawn on it and ignored pixels tinted violet.

    Args:
        picture: (h, w, 3) uint8 RGB.
        mask: (h, w) uint8 train ids, or label bits for a multi-label map; 255 is ignored.
        label_map: the label map of the mask.

    Returns:
        (h, w, 3) uint8 RGB, a new array.
    """
    overlay = picture.copy()
    overlay[mask == IGNORE_ID] = overlay[mask == IGNORE_ID] // 2 + np.array(IGNORED_COLOR, np.uint8) // 2
    if label_map.multilabel:
        # of several labels at a pixel, the last one is drawn
        planes = label_map.split_labels(mask) == 1
        mask = np.where(planes.any(0), len(planes) - 1 - planes[::-1].argmax(0), IGNORE_ID).astype(np.uint8)
    # by hand: an OverlayPainter draws at most 127 classes
    drawn = mask != IGNORE_ID
    if label_map.background is not None:
        drawn &= mask != label_map.background
    colours = np.asarray(label_map.palette, np.float32)[mask[drawn]]
    overlay[drawn] = np.rint((1 - _ALPHA) * overlay[drawn] + _ALPHA * colours).astype(np.uint8)
    return overlay


def legend_strip(label_map: LabelMap, width: int) -> np.ndarray:
    """Return class names beside their colours on white, (h, width, 3) uint8 RGB, in as many lines as needed."""
    font = ImageFont.load_default(_TEXT)
    drawn = [c for number, c in enumerate(label_map.classes) if number != label_map.background]
    entries = [(entry.name, entry.color) for entry in drawn] + [("ignored", IGNORED_COLOR)]
    corners, x, y = [], _TEXT, _TEXT // 2
    for name, _ in entries:
        wide = round(font.getlength(name)) + 3 * _TEXT
        if x + wide > width and x > _TEXT:
            x, y = _TEXT, y + 2 * _TEXT
        corners.append((x, y))
        x += wide
    strip = Image.new("RGB", (width, y + 2 * _TEXT), (255, 255, 255))
    draw = ImageDraw.Draw(strip)
    for (name, color), (left, top) in zip(entries, corners, strict=True):
        draw.rectangle((left, top, left + _TEXT, top + _TEXT), fill=tuple(color), outline=(90, 90, 90))
        draw.text((left + 3 * _TEXT // 2, top + _TEXT // 2), name, (20, 20, 20), font, anchor="lm")
    return np.asarray(strip).copy()


def caption(text: str, width: int) -> np.ndarray:
    """A line of text, cut where it is longer than `width` pixels: (h, width, 3) uint8 RGB on white."""
    strip = Image.new("RGB", (width, 2 * _TEXT), (255, 255, 255))
    font = ImageFont.load_default(_TEXT)
    ImageDraw.Draw(strip).text((_TEXT // 2, _TEXT), printable(text), (20, 20, 20), font, anchor="lm")
    return np.asarray(strip).copy()


def grid(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Return tiles (h, w, 3) uint8 RGB of one width in rows on white, with gaps to the right and below."""
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
