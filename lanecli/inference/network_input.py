"""A frame as the network sees it: scaled straight from the decoder's planes, converted to RGB at the small size."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np

from lanecli.geometry import Geometry, Placement
from lanecli.media.colour import Colour
from lanecli.media.frame import Frame


@lru_cache(maxsize=32)
def place(geometry: Geometry, frame_size: tuple[int, int], network: tuple[int, int]) -> Placement:
    """The geometry for frames of `frame_size`, aimed at the size the backend was loaded for."""
    return replace(geometry, size=network).place(frame_size)


@lru_cache(maxsize=32)
def _to_rgb(colour: Colour) -> np.ndarray:
    """(3, 4) affine map from Y'CbCr numbers to RGB levels: the inverse of Colour.encode."""
    corners = colour.encode(np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]]))
    forward = (corners[1:] - corners[0]).T / 255.0
    backward = np.linalg.inv(forward)
    return np.column_stack([backward, -backward @ corners[0]]).astype(np.float32)


def network_picture(frame: Frame, placement: Placement) -> np.ndarray:
    """(h, w, 3) uint8 RGB of the network's size.

    Planes are scaled one by one and become RGB afterwards: both steps are linear, so the result is what converting
    first would give, to rounding, at a fraction of the pixels.
    """
    if not frame.is_planar:
        return placement.picture(frame.rgb(), exact=True)  # as an exported file does it
    grey = placement.picture(frame.y), placement.plane(frame.u, 128), placement.plane(frame.v, 128)
    return cv2.transform(cv2.merge(grey), _to_rgb(frame.colour))
