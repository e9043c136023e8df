"""Draws heat maps of uncertainty on frames, with a colour bar, and hatches pixels that are left undecided."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lanecli.draw.legend import Legend
from lanecli.errors import LaneError
from lanecli.media.colour import Colour
from lanecli.media.frame import Frame

_WEAKEST, _STRONGEST = 0.35, 0.85
"""Weight of the colour over the picture where a pixel is certain, and where it is doubtful."""


def heat_colours() -> np.ndarray:
    """Return (256, 3) uint8 RGB from certain (dark) to doubtful (light yellow).

    It is Matplotlib's inferno, whose lightness rises evenly, so that it can be read in grey and without colour vision.
    """
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    return cv2.applyColorMap(ramp, cv2.COLORMAP_INFERNO)[:, 0, ::-1].copy()


class HeatmapPainter:
    """Draws maps of one kind on frames, in place and always with the same scale, so that frames can be compared.

    Args:
        title: title of the colour bar.
        certain: the value drawn as certain; it may be above `doubtful`, as for densities.
        doubtful: the value drawn as doubtful; values beyond the two get the colours of the ends.
        legend: whether to draw the colour bar.
    """

    def __init__(self, title: str, certain: float, doubtful: float, *, legend: bool = True) -> None:
        if not (np.isfinite([certain, doubtful]).all() and certain != doubtful):
            raise LaneError(
                f"the ends of a heat map's scale must be two different finite numbers, not {certain} and {doubtful}"
            )
        self._scale = 255 / (doubtful - certain)
        self._certain = certain
        self._colours = heat_colours()
        self._weights = np.linspace(_WEAKEST, _STRONGEST, 256)
        self._tables: dict[Colour | None, tuple[np.ndarray, np.ndarray]] = {}
        self._legend = _ColourBar(title, self._colours, _number(certain), _number(doubtful)) if legend else None

    def paint(self, frame: Frame, values: np.ndarray) -> None:
        """Draw `values` on `frame`.

        Args:
            frame: a writable frame.
            values: (H, W) float of the frame's own size.

        Raises:
            LaneError: the sizes differ, or the frame is read-only.
        """
        if values.shape[::-1] != frame.size:
            raise LaneError(f"the map is {values.shape[::-1]}, but the frame is {frame.size}")
        if not frame.writable:
            raise LaneError("the frame is read-only: draw on VideoWriter.canvas(frame) or frame.copy()")
        heat = self._indices(values)
        if frame.is_planar:
            keep, add = self._table(frame.colour)
            # the chroma of four pixels comes from their mean heat: heat has no edges that would need more
            height, width = frame.u.shape
            half = cv2.copyMakeBorder(
                heat, 0, 2 * height - heat.shape[0], 0, 2 * width - heat.shape[1], cv2.BORDER_REPLICATE
            )
            half = cv2.resize(half, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width)
            for number, (plane, indices) in enumerate(((frame.y, heat), (frame.u, half), (frame.v, half))):
                _blend(plane, cv2.LUT(indices, keep), cv2.LUT(indices, add[:, number].copy()))
        else:
            keep, add = self._table(None)
            tripled = cv2.merge([heat] * 3)
            _blend(frame.rgb(), cv2.LUT(tripled, keep), cv2.LUT(tripled, add[:, None, :]))
        if self._legend is not None:
            self._legend.paint(frame)

    def _indices(self, values: np.ndarray) -> np.ndarray:
        """Return (H, W) uint8: 0 certain, 255 doubtful."""
        shifted = np.subtract(values, np.float32(self._certain), dtype=np.float32)
        np.clip(np.multiply(shifted, np.float32(self._scale), out=shifted), 0, 255, out=shifted)
        return np.rint(shifted).astype(np.uint8)

    def _table(self, colour: Colour | None) -> tuple[np.ndarray, np.ndarray]:
        """Return, for each index, the factor of the picture, (256,), and what is added, (256, 3)."""
        if colour not in self._tables:
            keep = np.round(255 * (1 - self._weights))
            target = colour.encode(self._colours) if colour is not None else self._colours
            add = np.round(target * (1 - keep / 255)[:, None])
            self._tables[colour] = keep.astype(np.uint8), np.clip(add, 0, 255).astype(np.uint8)
        return self._tables[colour]


def _blend(part: np.ndarray, keep: np.ndarray, add: np.ndarray) -> None:
    """Compute part = part * keep / 255 + add, in place."""
    np.copyto(part, cv2.add(cv2.multiply(part, keep, scale=1 / 255), add).reshape(part.shape))


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


class _ColourBar(Legend):
    """A bar of colours with a title above it and the values of its ends below."""

    def __init__(self, title: str, colours: np.ndarray, low: str, high: str) -> None:
        super().__init__([title], colours[-1:])
        self._title, self._ramp, self._low, self._high = title, colours, low, high

    def _render(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Return RGB uint8 (H, W, 3) and alpha (H, W) for a picture with the shorter side `side`; sizes are even."""
        text_size = max(10, round(side / 36))
        font = ImageFont.load_default(text_size)
        row, pad = round(text_size * 1.4), round(text_size * 0.7)
        ends = f"{self._low} certain", f"doubtful {self._high}"
        inner = max(round(font.getlength(self._title)), round(sum(map(font.getlength, ends)) + text_size))
        width = (2 * pad + inner + 1) // 2 * 2
        height = (2 * pad + 3 * row + 1) // 2 * 2
        picture = Image.new("RGB", (width, height), (18, 20, 24))
        cover = Image.new("L", (width, height), 0)
        shape = ImageDraw.Draw(cover)
        shape.rounded_rectangle((0, 0, width - 1, height - 1), radius=pad // 2, fill=158)
        bar = np.repeat(self._ramp[None, np.linspace(0, 255, inner).astype(int)], row * 2 // 3, 0)
        corner = (pad, pad + row + row // 6)
        picture.paste(Image.fromarray(bar), corner)
        cover.paste(255, (*corner, corner[0] + inner, corner[1] + bar.shape[0]))
        for layer, fill in ((ImageDraw.Draw(picture), (240, 240, 240)), (shape, 255)):
            layer.text((pad, pad + row // 2), self._title, fill, font, anchor="lm")
            layer.text((pad, pad + 2 * row + row // 2), ends[0], fill, font, anchor="lm")
            layer.text((width - pad, pad + 2 * row + row // 2), ends[1], fill, font, anchor="rm")
        return np.asarray(picture), np.asarray(cover) / 255


def hatch(frame: Frame, region: np.ndarray) -> None:
    """Hatch a region of a frame, in place, with slanting lines of light beside dark, which show on any background.

    Args:
        frame: a writable frame.
        region: (H, W) bool of the frame's own size.
    """
    if not region.any():
        return
    height, width = region.shape
    line = max(1, round(min(height, width) / 400))
    phase = (np.arange(height)[:, None] + np.arange(width)[None]) % (10 * line)
    dark = region & (phase < line)
    light = region & (phase >= line) & (phase < 2 * line)
    for plane in [frame.y] if frame.is_planar else [frame.rgb()[..., channel] for channel in range(3)]:
        np.copyto(plane, plane // 3, where=dark)
        np.copyto(plane, 255 - (255 - plane) // 3, where=light)
