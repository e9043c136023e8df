"""Turns and mirrors stored pixels upright, for pictures and videos alike."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import cv2
import numpy as np

_SLANT = math.sin(math.radians(1))  # a matrix within a degree of a quarter turn counts as one
_ROTATIONS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


@dataclass(frozen=True, slots=True)
class Orientation:
    """How to make stored pixels upright: mirror them if `mirrored`, then turn them.

    Attributes:
        mirrored: whether to mirror left to right.
        turn: degrees counter-clockwise: 0, 90, 180 or 270.

    Example:
        >>> Orientation.from_exif(6).size((640, 480))
        (480, 640)
    """

    mirrored: bool = False
    turn: int = 0

    @classmethod
    def from_exif(cls, number: object) -> Orientation:
        """Return the orientation for EXIF tag 0x0112, 1 to 8 (CIPA DC-008, section 4.6.4); other values are upright."""
        return _EXIF.get(number, UPRIGHT) if isinstance(number, int) else UPRIGHT

    @classmethod
    def from_display_matrix(cls, data: bytes) -> Orientation | None:
        """Return the orientation of a display matrix, nine 32-bit numbers (ISO/IEC 14496-12, section 6.2.2).

        A pixel at (x, y), y downwards, is shown at (a x + c y, b x + d y). The result is None if this is neither a
        quarter turn nor a mirror image: all zero, or off by more than a degree. The scale is ignored.
        """
        if len(data) < 36:
            return None
        a, b, _, c, d, *_ = struct.unpack("<9i", data[:36])
        x, y = math.hypot(a, b), math.hypot(c, d)
        if not x or not y:
            return None
        a, b, c, d = a / x, b / x, c / y, d / y
        if abs(b) <= _SLANT and abs(c) <= _SLANT:
            return _MATRICES[(False, a < 0, d < 0)]
        if abs(a) <= _SLANT and abs(d) <= _SLANT:
            return _MATRICES[(True, c < 0, b < 0)]
        return None

    @property
    def swaps_sides(self) -> bool:
        """Whether width and height are exchanged."""
        return self.turn in (90, 270)

    def size(self, stored: tuple[int, int]) -> tuple[int, int]:
        """Return the upright (width, height) of pixels stored as (width, height)."""
        return stored[::-1] if self.swaps_sides else stored

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """Return stored pixels (H, W) or (H, W, C) upright; the array itself if it is upright already."""
        if self.mirrored:
            pixels = cv2.flip(pixels, 1)
        return cv2.rotate(pixels, _ROTATIONS[self.turn]) if self.turn else pixels


UPRIGHT = Orientation()
_EXIF = {
    1: UPRIGHT,
    2: Orientation(True, 0),
    3: Orientation(False, 180),
    4: Orientation(True, 180),
    5: Orientation(True, 90),
    6: Orientation(False, 270),
    7: Orientation(True, 270),
    8: Orientation(False, 90),
}
# (transposed, then mirrored left to right, then mirrored top to bottom)
_MATRICES = {
    (False, False, False): UPRIGHT,
    (False, True, False): _EXIF[2],
    (False, True, True): _EXIF[3],
    (False, False, True): _EXIF[4],
    (True, False, False): _EXIF[5],
    (True, True, False): _EXIF[6],
    (True, True, True): _EXIF[7],
    (True, False, True): _EXIF[8],
}
