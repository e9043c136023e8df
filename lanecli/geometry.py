"""Geometry: what happens to a picture before the network sees it, with an exact, half-pixel-consistent inverse.

Coordinates are pixel centres: the centre of the top-left pixel is (0, 0), its corner (-0.5, -0.5). A resize by s maps
x to (x + 0.5) * s - 0.5, in both directions, and alike for pictures, masks and points. Mixing this convention with
corner-aligned resizing shifts results by pixels, which has cost competitors a percent of IoU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import cv2
import numpy as np

from lanecli.errors import InputError

Size = tuple[int, int]
"""(width, height) in pixels."""

MAX_PIXELS = 1 << 25
"""Most pixels a network's picture may have: a picture of 8K."""
MAX_SIDE = 16384
"""Longest side of a network's picture: a file that asks for more is damaged, and would only exhaust memory."""

_FINEST = 1_000_000
"""Largest denominator of a crop margin that is a share: the share becomes a fraction of whole numbers."""

SNAP = 1024
"""Levels are rounded to multiples of 1 / SNAP before they are rounded to whole levels, so that a half stays a half."""

PAD_COLOR = 114
"""Grey level of the bars `fit="pad"` adds."""


def resize(picture: np.ndarray, size: Size, *, nearest: bool = False, exact: bool = False) -> np.ndarray:
    """Resize (H, W) or (H, W, C) to `size`, half-pixel consistent.

    Sides that shrink are area averaged (no aliasing: thin stripes keep their weight), sides that grow are bilinear.

    Args:
        picture: uint8 or float.
        size: (width, height) in pixels.
        nearest: take the value at the nearest pixel centre instead, for masks of ids.
        exact: round bytes as an exported graph does, halves to even; OpenCV's own sums round a half sometimes up and
            sometimes down. It takes longer.

    Example:
        >>> resize(np.array([[0, 100, 200, 100]], np.uint8), (2, 1))
        array([[ 50, 150]], dtype=uint8)
    """
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    if nearest:
        return _nearest(picture, size)
    smaller = min(width, size[0]), min(height, size[1])
    if smaller == size and not exact:
        return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    # OpenCV's bilinear on bytes is sometimes off by a level: compute in floats and round once
    grown = picture.astype(np.float32) if picture.dtype == np.uint8 else picture
    if smaller != (width, height):  # one side may shrink while the other grows
        grown = cv2.resize(grown, smaller, interpolation=cv2.INTER_AREA)
    if smaller != size:
        grown = cv2.resize(grown, size, interpolation=cv2.INTER_LINEAR)
    if picture.dtype != np.uint8:
        return grown
    np.rint(np.multiply(grown, SNAP, out=grown), out=grown)
    return np.rint(np.divide(grown, SNAP, out=grown), out=grown).astype(np.uint8)


def _nearest(ids: np.ndarray, size: Size) -> np.ndarray:
    """Return (H, W[, C]) at the pixel centres nearest to those of `size`, in integers (OpenCV's fixed point drifts).

    A target centre halfway between two source centres (every one of them, when a picture is halved) takes the left
    column in even rows and the right one in odd rows, the upper row in even columns and the lower one in odd columns.
    Always taking the same side would shift every mask by half a pixel.
    """
    columns, rows = _centres(ids.shape[1], size[0]), _centres(ids.shape[0], size[1])
    if columns[0] is columns[1] and rows[0] is rows[1]:
        return ids.take(rows[0], 0).take(columns[0], 1)
    result = np.empty((size[1], size[0], *ids.shape[2:]), ids.dtype)
    for y in (0, 1):
        for x in (0, 1):
            result[y::2, x::2] = ids.take(rows[x][y::2], 0).take(columns[y][x::2], 1)
    return result


def _centres(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of the source centre nearest to each target centre: the lower and the higher of a tie."""
    higher, rest = np.divmod((2 * np.arange(target) + 1) * source, 2 * target)
    return (higher - (rest == 0), higher) if not rest.all() else (higher, higher)


@dataclass(frozen=True)
class Placement:
    """A Geometry applied to frames of one size.

    Attributes:
        frame: size of the frame.
        box: the crop as (left, top, right, bottom) pixel edges in the frame.
        network: size of the network's picture.
        content: (left, top, right, bottom) of the crop inside the network's picture; smaller than the picture when
            padded.
    """

    frame: Size
    box: tuple[int, int, int, int]
    network: Size
    content: tuple[int, int, int, int]

    @property
    def is_identity(self) -> bool:
        """Whether nothing is cropped, scaled or padded."""
        return self.frame == self.network and self.box == self.content == (0, 0, *self.frame)

    def picture(self, picture: np.ndarray, fill: int = PAD_COLOR, *, exact: bool = False) -> np.ndarray:
        """Map a picture (H, W[, C]) of the frame's size to (h, w[, C]) of the network's; bars get `fill`.

        `exact` is that of :func:`resize`.
        """
        return self._forward(picture, fill, nearest=False, exact=exact)

    def mask(self, mask: np.ndarray, fill: int = 255) -> np.ndarray:
        """Map ids (H, W) of the frame's size to (h, w) of the network's by the nearest centre; bars get `fill`."""
        return self._forward(mask, fill, nearest=True)

    def plane(self, plane: np.ndarray, fill: int) -> np.ndarray:
        """Map a subsampled chroma plane, (ceil(H/s), ceil(W/s)), to (h, w) of the network's size; bars get `fill`."""
        width, height = self.frame
        step_x, step_y = round(width / plane.shape[1]), round(height / plane.shape[0])
        left, top, right, bottom = self.box
        cut = plane[top // step_y : -(-bottom // step_y), left // step_x : -(-right // step_x)]
        return self._place(cut, fill, nearest=False)

    def _forward(self, picture: np.ndarray, fill: int, nearest: bool, exact: bool = False) -> np.ndarray:
        if (picture.shape[1], picture.shape[0]) != self.frame:
            raise ValueError(f"placement is for {self.frame}, the picture is {picture.shape[1]}x{picture.shape[0]}")
        left, top, right, bottom = self.box
        return self._place(picture[top:bottom, left:right], fill, nearest, exact)

    def _place(self, cut: np.ndarray, fill: int, nearest: bool, exact: bool = False) -> np.ndarray:
        left, top, right, bottom = self.content
        placed = resize(cut, (right - left, bottom - top), nearest=nearest, exact=exact)
        if (right - left, bottom - top) == self.network:
            return placed
        canvas = np.full((self.network[1], self.network[0], *cut.shape[2:]), fill, cut.dtype)
        canvas[top:bottom, left:right] = placed
        return canvas

    def inverse_mask(self, mask: np.ndarray, fill: int = 0) -> np.ndarray:
        """Map ids (h, w) of the network's size to (H, W) of the frame's by nearest centre; `fill` outside the crop."""
        return self._inverse(mask, np.asarray(fill, mask.dtype), nearest=True)

    def inverse_map(self, values: np.ndarray, fill: float = 0.0) -> np.ndarray:
        """Map floats (h, w) of the network's size to (H, W) of the frame's, bilinear; `fill` outside the crop."""
        return self._inverse(values, np.asarray(fill, values.dtype), nearest=False)

    def inverse_probabilities(self, probabilities: np.ndarray, background: int | None = 0) -> np.ndarray:
        """Map (C, h, w) float32 in 0..1 of the network's size to (C, H, W) of the frame's, bilinear.

        Outside the crop, the background class (if there is one) has probability one.
        """
        maps = [self.inverse_map(p, 1.0 if i == background else 0.0) for i, p in enumerate(probabilities)]
        return np.stack(maps)

    def _inverse(self, values: np.ndarray, fill: np.ndarray, nearest: bool) -> np.ndarray:
        left, top, right, bottom = self.content
        x0, y0, x1, y1 = self.box
        grown = resize(values[top:bottom, left:right], (x1 - x0, y1 - y0), nearest=nearest)
        if (x1 - x0, y1 - y0) == self.frame:
            return grown
        full = np.full((self.frame[1], self.frame[0]), fill, values.dtype)
        full[y0:y1, x0:x1] = grown
        return full

    def _scale(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        box, content = np.array(self.box, float), np.array(self.content, float)
        return (content[2:] - content[:2]) / (box[2:] - box[:2]), box[:2], content[:2]

    def points(self, points: np.ndarray) -> np.ndarray:
        """Map (N, 2) x, y in the frame to the network's picture, as the pixels are mapped."""
        scale, origin, offset = self._scale()
        return (np.asarray(points, float) + 0.5 - origin) * scale + offset - 0.5

    def inverse_points(self, points: np.ndarray) -> np.ndarray:
        """Map (N, 2) x, y in the network's picture to the frame; the exact inverse of :meth:`points`."""
        scale, origin, offset = self._scale()
        return (np.asarray(points, float) + 0.5 - offset) / scale + origin - 0.5


class Side(NamedTuple):
    """A Geometry along one side of a frame.

    Pixels `start` to `start + length` of the frame fill `content_length` pixels, from `content_start` on, of the
    `network` pixels along this side of the network's picture.
    """

    start: Any
    length: Any
    network: Any
    content_start: Any
    content_length: Any


def _margin(margin: float, side: Any, made_for: int | None) -> Any:
    """Return a crop margin in whole pixels for a side of `side` pixels; halves are rounded up."""
    if 0 < margin < 1:
        share = Fraction(margin).limit_denominator(_FINEST)
        return (2 * share.numerator * side + share.denominator) // (2 * share.denominator)
    whole = int(margin)
    return (2 * whole * side + made_for) // (2 * made_for) if whole and made_for else whole


def _smaller(one: Any, other: int) -> Any:
    """Return the smaller number; `one` may be a symbolic integer of a graph under export."""
    return min(one, other) if isinstance(one, int) else one.__sym_min__(other)


def _larger(one: Any, other: int) -> Any:
    """Return the larger number; `one` may be a symbolic integer of a graph under export."""
    return max(one, other) if isinstance(one, int) else one.__sym_max__(other)


@dataclass(frozen=True)
class Geometry:
    """Crops a picture, then resizes (and pads) it to the network's size.

    Attributes:
        size: (width, height) of the network's picture; None keeps the crop's own size.
        crop: margins (left, top, right, bottom) cut off first: an int is in pixels, a float below 1 is a share of the
            frame's side.
        fit: ``"stretch"`` fills `size` (anisotropic), ``"pad"`` keeps the aspect ratio and centres the crop between
            bars.
        frame: (width, height) of the frames that a crop in pixels was measured on; on frames of another size its
            margins are scaled with the frame's sides. None if unknown: margins are then used unscaled.

    Example:
        >>> placement = Geometry(size=(128, 64), crop=(0, 40, 0, 0)).place((320, 200))
        >>> placement.box, placement.network
        ((0, 40, 320, 200), (128, 64))
    """

    size: Size | None = None
    crop: tuple[float, float, float, float] = (0, 0, 0, 0)
    fit: str = "stretch"
    frame: Size | None = None

    def __post_init__(self) -> None:
        if self.size is not None and (len(self.size) != 2 or not 1 <= min(self.size) <= max(self.size) <= MAX_SIDE):
            raise InputError(f"geometry: size must be (width, height) in pixels, each 1 to {MAX_SIDE}, not {self.size}")
        if self.size is not None and self.size[0] * self.size[1] > MAX_PIXELS:
            raise InputError(f"geometry: size {self.size} has more than {MAX_PIXELS} pixels")
        if self.fit not in ("stretch", "pad"):
            raise InputError(f"geometry: fit must be 'stretch' or 'pad', not '{self.fit}'")
        if len(self.crop) != 4 or any(not m >= 0 or (m % 1 and m > 1) for m in self.crop):
            raise InputError(f"geometry: crop margins must be whole pixels or shares below 1, not {self.crop}")
        if self.frame is not None and (len(self.frame) != 2 or not min(self.frame) >= 1):
            raise InputError(f"geometry: frame must be (width, height) in pixels, not {self.frame}")

    def scales_crop(self, frame: Size) -> bool:
        """Return whether crop margins are scaled for this frame size: margins in pixels, measured on another size."""
        return self.frame is not None and self.frame != frame and any(margin >= 1 for margin in self.crop)

    def place(self, frame: Size) -> Placement:
        """Return the geometry for frames of one size. Raises InputError if the crop leaves nothing of them."""
        width, height = frame
        across, down = self.side(0, width, height), self.side(1, height, width)
        if min(across.length, down.length) < 1:
            raise InputError(f"geometry: crop margins {self.crop} leave nothing of a {width}x{height} picture")
        box = (across.start, down.start, across.start + across.length, down.start + down.length)
        content = (
            across.content_start,
            down.content_start,
            across.content_start + across.content_length,
            down.content_start + down.content_length,
        )
        return Placement(frame, box, (across.network, down.network), content)

    def side(self, axis: int, length: Any, other: Any) -> Side:
        """Return the geometry along one side of a frame, in whole numbers, which may be symbolic integers of a graph.

        Args:
            axis: 0 for the width, 1 for the height.
            length: the frame's side in pixels.
            other: the frame's other side, on which padding depends.
        """
        start, cut = self._cut(axis, length)
        _, cut_other = self._cut(1 - axis, other)
        if self.size is None:
            return Side(start, cut, cut, 0, cut)
        network, network_other = self.size[axis], self.size[1 - axis]
        inner = network
        if self.fit == "pad":  # the longer side fills the network's, the other keeps the aspect ratio
            inner = _larger(_smaller((2 * cut * network_other + cut_other) // (2 * cut_other), network), 1)
        return Side(start, cut, network, (network - inner) // 2, inner)

    def _cut(self, axis: int, length: Any) -> tuple[Any, Any]:
        """Return where the crop begins along a side, and how long it is."""
        made_for = self.frame[axis] if self.frame else None
        before, after = (_margin(self.crop[axis + i], length, made_for) for i in (0, 2))
        return before, length - before - after

    def to_dict(self) -> dict[str, Any]:
        """Return a form for JSON and YAML, from which :meth:`from_dict` builds an equal geometry."""
        written: dict[str, Any] = {
            "size": list(self.size) if self.size else None,
            "crop": list(self.crop),
            "fit": self.fit,
        }
        return {**written, "frame": list(self.frame)} if self.frame else written

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Geometry:
        """Build a geometry from what :meth:`to_dict` returned. Raises InputError that says what is wrong."""
        try:
            size, frame = data.get("size"), data.get("frame")
            left, top, right, bottom = data.get("crop", (0, 0, 0, 0))
            return cls(
                (int(size[0]), int(size[1])) if size else None,
                (left, top, right, bottom),
                data.get("fit", "stretch"),
                (int(frame[0]), int(frame[1])) if frame else None,
            )
        except (TypeError, ValueError, IndexError, KeyError, AttributeError, OverflowError) as error:
            raise InputError(f"the geometry cannot be read: {error}") from error


def parse_size(text: str) -> Size:
    """Return ``"1536x512"`` as (1536, 512). Raises InputError for anything else."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise InputError(f"a size is WIDTHxHEIGHT, such as 1536x512, not '{text}'")
    return int(width), int(height)
