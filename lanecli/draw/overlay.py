"""Blends class colours into a picture: in RGB, or on a decoder's planes without a conversion to RGB and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from lanecli.draw.legend import Legend
from lanecli.errors import InputError, LaneError
from lanecli.media.colour import Colour
from lanecli.media.frame import Frame

Region = tuple[int, int, int, int]
StyleName = Literal["fill", "contour", "solid"]
STYLES: tuple[StyleName, ...] = ("fill", "contour", "solid")

_CONTOUR = 128  # bit of the index map that marks the rim of a class


@dataclass(frozen=True, slots=True)
class OverlayStyle:
    """How classes are drawn.

    Attributes:
        name: `fill` blends the class colour with weight `alpha` and draws its rim in full colour; `contour` draws only
            the rim; `solid` covers the picture with the class colour.
        alpha: 0 (nothing) to 1 (only the class colour): one value for all classes, or one for each.
        contour: width of the rim in pixels; 0 for none; None for 1 per 540 pixels of the picture's shorter side.
    """

    name: StyleName = "fill"
    alpha: float | tuple[float, ...] = 0.5
    contour: int | None = None

    def __post_init__(self) -> None:
        if self.name not in STYLES:
            raise InputError(f"unknown overlay style '{self.name}'; choose one of {', '.join(STYLES)}")
        alphas = self.alpha if isinstance(self.alpha, tuple) else (self.alpha,)
        if not alphas or not all(0 <= alpha <= 1 for alpha in alphas):
            raise InputError(f"overlay alpha must be between 0 and 1, not {self.alpha}")

    def rim(self, size: tuple[int, int]) -> int:
        """Return the width of the rim in a picture of `size`, in pixels."""
        if self.name == "solid":
            return 0
        if self.contour is not None:
            return max(self.contour, 1 if self.name == "contour" else 0)
        return max(1, round(min(size) / 540))


class OverlayPainter:
    """Draws class maps on frames, in place.

    Only the bounding box of what is drawn is touched. The background and ids without a class (255, ignored) are left as
    they are. On planes, the chroma of a 2x2 block gets the mean of its four pixels' blends, which is what blending in
    RGB and subsampling afterwards would give.

    Args:
        palette: RGB colour of each train id, uint8 (N, 3).
        names: class names; their number is the number of classes, at most 127 (default: one for each palette row).
        background: id that is not drawn, or None.
        style: how to draw.
        legend: whether to draw a legend of the class names.
    """

    _first = 1  # index of the first class drawn; below it and above the last rim is room for more
    _most_classes = 127

    def __init__(
        self,
        palette: np.ndarray,
        *,
        names: Sequence[str] | None = None,
        background: int | None = 0,
        style: OverlayStyle | None = None,
        legend: bool = False,
    ) -> None:
        count = len(names) if names is not None else len(palette)
        if count > self._most_classes or count > len(palette):
            raise InputError(f"an overlay draws at most {min(self._most_classes, len(palette))} classes, got {count}")
        self.style = style or OverlayStyle()
        colours = np.asarray(palette, np.uint8)[:count]
        drawn = [train_id for train_id in range(count) if train_id != background]
        # index 0 is "nothing", `_first` the first drawn class; subclasses use the others under or over the classes
        self._index = np.zeros(256, np.uint8)
        self._index[drawn] = np.arange(self._first, self._first + len(drawn))
        self._is_zero = background == 0
        self._colours = colours[drawn]
        alphas = self.style.alpha if isinstance(self.style.alpha, tuple) else (self.style.alpha,) * count
        if len(alphas) != count:
            raise InputError(f"overlay alpha: {len(alphas)} values for {count} classes")
        self._fill = np.array([alphas[train_id] for train_id in drawn], np.float64)
        self._beside: dict[int, tuple[tuple[int, int, int], float]] = {}  # colour and alpha of further indices
        self._tables: dict[Colour | None, tuple[np.ndarray, np.ndarray]] = {}
        self._legend = Legend([names[i] for i in drawn], self._colours) if legend and names is not None else None

    def paint(self, frame: Frame, class_map: np.ndarray, region: Region | None = None) -> None:
        """Draw `class_map` on `frame`.

        Args:
            frame: a writable frame (`VideoWriter.canvas(frame)`, `frame.copy()`, or one made from an RGB array).
            class_map: uint8 (H, W) of train ids, of the frame's own size.
            region: (x, y, width, height) outside of which there is nothing to draw, if the caller knows one.

        Raises:
            LaneError: the sizes differ, or the frame is read-only.
        """
        if class_map.shape[::-1] != frame.size or class_map.dtype != np.uint8:
            raise LaneError(
                f"the class map is {class_map.dtype} {class_map.shape[::-1]}, but the frame is {frame.size}"
            )
        if not frame.writable:
            raise LaneError("the frame is read-only: draw on VideoWriter.canvas(frame) or frame.copy()")
        box = self._region(class_map, region)
        if box is not None:
            indices, left, top = self._indices(class_map, box, self.style.rim(frame.size))
            if frame.is_planar:
                self._paint_planes(frame, indices, left, top)
            else:
                self._paint_rgb(frame, indices, left, top)
        if self._legend is not None:
            self._legend.paint(frame)

    def _region(self, class_map: np.ndarray, region: Region | None) -> Region | None:
        """Return the bounding box of what is not background (it may include ids without a class), or None."""
        x, y, width, height = region or (0, 0, class_map.shape[1], class_map.shape[0])
        part = class_map[y : y + height, x : x + width]
        left, top, width, height = cv2.boundingRect(part if self._is_zero else cv2.LUT(part, self._index))
        return (x + left, y + top, width, height) if width and height else None

    def _indices(self, class_map: np.ndarray, box: Region, rim: int) -> tuple[np.ndarray, int, int]:
        """Return the index map of `box`, grown by `rim` to even corners and with rims marked, and its left and top."""
        height, width = class_map.shape
        left, top = max(0, box[0] - rim) // 2 * 2, max(0, box[1] - rim) // 2 * 2
        right, bottom = (
            min(width, (box[0] + box[2] + rim + 1) // 2 * 2),
            min(height, (box[1] + box[3] + rim + 1) // 2 * 2),
        )
        indices = cv2.LUT(class_map[top:bottom, left:right], self._index)
        if rim:
            # a rim is where another class, or none, lies within `rim` pixels; the picture's border makes no rim
            kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim + 1, 2 * rim + 1))
            highest = cv2.dilate(indices, kernel)
            edge = cv2.compare(cv2.erode(indices, kernel), highest, cv2.CMP_NE)
            if self.style.name == "contour":  # a line around the marking as well, else hardly any of it is visible
                cv2.copyTo(highest, (indices == 0).view(np.uint8), indices)
            # NumPy, because OpenCV treats an array of one pixel as a scalar
            indices |= edge & np.uint8(_CONTOUR)
        return indices, left, top

    def _paint_planes(self, frame: Frame, indices: np.ndarray, left: int, top: int) -> None:
        keep, add = self._table(frame.colour)
        height, width = indices.shape
        kept = cv2.LUT(indices, keep)
        luma = frame.y[top : top + height, left : left + width]
        _blend(luma, kept, cv2.LUT(indices, add[:, 0].copy()))
        if height % 2 or width % 2:
            indices = cv2.copyMakeBorder(indices, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
            kept = cv2.LUT(indices, keep)
        half = (indices.shape[1] // 2, indices.shape[0] // 2)
        kept = cv2.resize(kept, half, interpolation=cv2.INTER_AREA)
        for channel, plane in ((1, frame.u), (2, frame.v)):
            added = cv2.resize(cv2.LUT(indices, add[:, channel].copy()), half, interpolation=cv2.INTER_AREA)
            _blend(plane[top // 2 : top // 2 + half[1], left // 2 : left // 2 + half[0]], kept, added)

    def _paint_rgb(self, frame: Frame, indices: np.ndarray, left: int, top: int) -> None:
        keep, add = self._table(None)
        height, width = indices.shape
        tripled = cv2.merge([indices] * 3)
        part = frame.rgb()[top : top + height, left : left + width]
        _blend(part, cv2.LUT(tripled, keep), cv2.LUT(tripled, add[:, None, :]))

    def _table(self, colour: Colour | None) -> tuple[np.ndarray, np.ndarray]:
        """Return, for each index, the picture's factor, (256,), and what is added, (256, 3), in the frame's numbers."""
        if colour not in self._tables:
            weight = np.zeros(256)
            count = len(self._colours)
            fill = {"fill": self._fill, "contour": np.zeros(count), "solid": np.ones(count)}[self.style.name]
            classes, rims = (slice(first, first + count) for first in (self._first, _CONTOUR + self._first))
            weight[classes], weight[rims] = fill, 1.0
            target = np.zeros((256, 3))
            target[classes] = target[rims] = _numbers(self._colours, colour)
            for index, (rgb, alpha) in self._beside.items():
                weight[index], target[index] = alpha, _numbers(np.array([rgb], np.uint8), colour)[0]
            keep = np.round(255 * (1 - weight))
            add = np.round(target * (1 - keep / 255)[:, None])
            self._tables[colour] = keep.astype(np.uint8), np.clip(add, 0, 255).astype(np.uint8)
        return self._tables[colour]


def _numbers(rgb: np.ndarray, colour: Colour | None) -> np.ndarray:
    """Return RGB colours (N, 3) in the numbers of a frame's planes, or unchanged for an RGB frame."""
    return rgb if colour is None else colour.encode(rgb)


def _blend(part: np.ndarray, keep: np.ndarray, add: np.ndarray) -> None:
    """Compute part = part * keep / 255 + add, in place."""
    cv2.multiply(part, keep, dst=part, scale=1 / 255)
    cv2.add(part, add, dst=part)


def colour_map(class_map: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Return a class map, uint8 (H, W), as RGB uint8 (H, W, 3); ids beyond the palette (N, 3) are black."""
    table = np.zeros((256, 1, 3), np.uint8)
    table[: len(palette), 0] = palette
    return cv2.LUT(cv2.merge([class_map] * 3), table)
