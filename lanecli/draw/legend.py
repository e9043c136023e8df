"""A legend of class names and colours, drawn in a corner of the picture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lanecli.media.colour import Colour
from lanecli.media.frame import Frame

_BACKDROP = (18, 20, 24)
_BACKDROP_ALPHA = 0.62
_TEXT = (240, 240, 240)


class Legend:
    """Class names beside swatches of their colours, in the top left corner; it is rendered once for each picture size.

    Args:
        names: name of each class drawn.
        colours: RGB uint8 (N, 3).
    """

    def __init__(self, names: Sequence[str], colours: np.ndarray) -> None:
        self._names = list(names)
        self._colours = colours
        self._rendered: dict[tuple[tuple[int, int], Colour | None], tuple[tuple[int, int], list[np.ndarray]]] = {}

    def paint(self, frame: Frame) -> None:
        """Draw on a writable frame, in place; nothing is drawn if the picture is too small for the legend."""
        key = (frame.size, frame.colour if frame.is_planar else None)
        if key not in self._rendered:
            self._rendered = {key: self._layers(*key)}
        (left, top), layers = self._rendered[key]
        for number, target in enumerate(frame.planes if frame.is_planar else (frame.rgb(),)):
            keep, add = layers[2 * number : 2 * number + 2]
            if keep.size == 0:
                return
            x, y = (left // 2, top // 2) if number else (left, top)
            part = target[y : y + keep.shape[0], x : x + keep.shape[1]]
            cv2.multiply(part, keep, dst=part, scale=1 / 255)
            cv2.add(part, add, dst=part)

    def _layers(self, size: tuple[int, int], colour: Colour | None) -> tuple[tuple[int, int], list[np.ndarray]]:
        """Return the corner and, for each plane (or RGB), uint8 factors of the picture and what is added."""
        rgb, alpha = self._render(min(size))
        margin = max(4, min(size) // 45) // 2 * 2
        height, width = rgb.shape[:2]
        if not self._names or width + margin > size[0] or height + margin > size[1]:
            return (0, 0), [np.zeros((0, 0), np.uint8)] * 6
        keep = np.round(255 * (1 - alpha)).astype(np.uint8)
        share = 1 - keep[..., None] / 255
        if colour is None:
            return (margin, margin), [cv2.merge([keep] * 3), np.round(rgb * share).astype(np.uint8)]
        numbers = colour.encode(rgb) * share
        layers = [keep, np.round(numbers[..., 0]).astype(np.uint8)]
        half = (width // 2, height // 2)
        for channel in (1, 2):
            added = cv2.resize(numbers[..., channel], half, interpolation=cv2.INTER_AREA)
            layers += [cv2.resize(keep, half, interpolation=cv2.INTER_AREA), np.round(added).astype(np.uint8)]
        return (margin, margin), layers

    def _render(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Return RGB uint8 (H, W, 3) and alpha (H, W) for a picture with the shorter side `side`; sizes are even."""
        text_size = max(10, round(side / 36))
        font = ImageFont.load_default(text_size)
        row, pad = round(text_size * 1.5), round(text_size * 0.7)
        swatch = round(text_size * 0.9)
        text_width = max((round(font.getlength(name)) for name in self._names), default=0)
        width = (2 * pad + swatch + pad + text_width + 1) // 2 * 2
        height = (2 * pad + row * len(self._names) + 1) // 2 * 2
        picture = Image.new("RGB", (width, height), _BACKDROP)
        draw = ImageDraw.Draw(picture)
        cover = Image.new("L", (width, height), 0)
        shape = ImageDraw.Draw(cover)
        shape.rounded_rectangle((0, 0, width - 1, height - 1), radius=pad // 2, fill=round(255 * _BACKDROP_ALPHA))
        for number, (name, colour) in enumerate(zip(self._names, self._colours, strict=True)):
            middle = pad + row * number + row // 2
            box = (pad, middle - swatch // 2, pad + swatch, middle + swatch // 2)
            for layer, fill in ((draw, tuple(int(c) for c in colour)), (shape, 255)):
                layer.rounded_rectangle(box, radius=max(1, swatch // 5), fill=fill)
            anchor_point = (2 * pad + swatch, middle)
            draw.text(anchor_point, name, _TEXT, font, anchor="lm")
            shape.text(anchor_point, name, 255, font, anchor="lm")
        return np.asarray(picture), np.asarray(cover) / 255
