"""The relation of Y'CbCr and RGB: matrix, range, and their tags in a video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# (Kr, Kb) of the matrices used in practice, by their ITU-T H.273 code points, which are FFmpeg's numbers too.
_BT601, _BT709, _BT2020 = (0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)
_COEFFICIENTS = {1: _BT709, 4: (0.30, 0.11), 5: _BT601, 6: _BT601, 7: (0.212, 0.087), 9: _BT2020, 10: _BT2020}
_NAMES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_SWSCALE = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}

UNSPECIFIED = 2
RANGE_LIMITED, RANGE_FULL = 1, 2


@dataclass(frozen=True, slots=True)
class Colour:
    """The colour tags of a video, as H.273 code points; `range` is 0 (unspecified), 1 (limited) or 2 (full).

    An unspecified matrix is treated as BT.601, as FFmpeg and OpenCV do, so that a network sees the same colours as in
    frames that were extracted with those tools.

    Example:
        >>> Colour(matrix=1, range=2).encode([255, 255, 255]).tolist()
        [255.0, 128.0, 128.0]
    """

    matrix: int = UNSPECIFIED
    range: int = 0
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED

    @property
    def name(self) -> str:
        """Name of the matrix that is used: bt601, bt709, bt2020, smpte240m or fcc."""
        return _NAMES.get(self.matrix, "bt601")

    @property
    def full_range(self) -> bool:
        """Whether Y' ranges over 0..255; otherwise it ranges over 16..235, and Cb and Cr over 16..240."""
        return self.range == RANGE_FULL

    @property
    def swscale(self) -> tuple[int, int]:
        """(colour space, range) as swscale's numbers."""
        return _SWSCALE.get(self.matrix, 5), RANGE_FULL if self.full_range else RANGE_LIMITED

    def encode(self, rgb: np.ndarray) -> np.ndarray:
        """Convert RGB colours to Y'CbCr (ITU-T H.273, section 8.3).

        Args:
            rgb: (..., 3), values 0..255.

        Returns:
            float64 (..., 3): Y', Cb, Cr in the 8-bit numbers of this matrix and range, not rounded.
        """
        kr, kb = _COEFFICIENTS.get(self.matrix, _BT601)
        red, green, blue = np.moveaxis(np.asarray(rgb, np.float64) / 255.0, -1, 0)
        luma = kr * red + (1 - kr - kb) * green + kb * blue
        cb, cr = (blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))
        if self.full_range:
            return np.stack([255 * luma, 128 + 255 * cb, 128 + 255 * cr], axis=-1)
        return np.stack([16 + 219 * luma, 128 + 224 * cb, 128 + 224 * cr], axis=-1)


# Tags of frames made from RGB: the only matrix and range of cv2's fast conversion, and the primaries of sRGB.
FROM_RGB = Colour(matrix=6, range=RANGE_LIMITED, primaries=1, transfer=1)
