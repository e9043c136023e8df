"""Makes the network's picture: scales the decoder's planes directly and converts to RGB at the small size."""

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
    """Return the geometry for frames of `frame_size`, with the size the backend was loaded for."""
    return replace(geometry, size=network).place(frame_size)


@lru_cache(maxsize=32)
def _to_rgb(colour: Colour) -> np.ndarray:
    """Return the (3, 4) affine map from Y'CbCr numbers to RGB levels: the inverse of Colour.encode."""
    corners = colour.encode(np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]]))
    forward = (corners[1:] - corners[0]).T / 255.0
    backward = np.linalg.inv(forward)
    return np.column_stack([backward, -backward @ corners[0]]).astype(np.float32)


def network_picture(frame: Frame, placement: Placement) -> np.ndarray:
    """Return the frame as (h, w, 3) uint8 RGB of the network's size.

    Planes are scaled one by one and converted to RGB afterwards. Both steps are linear, so apart from rounding the
    result is the same as with conversion first, at the cost of a fraction of the pixels.
    """
    if not frame.is_planar:
        return placement.picture(frame.rgb(), exact=True)  # rounded as an exported file does
    grey = placement.picture(frame.y), placement.plane(frame.u, 128), placement.plane(frame.v, 128)
    return cv2.transform(cv2.merge(grey), _to_rgb(frame.colour))
