"""A rendered road scene and its lane lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SyntheticLane:
    """One lane line in the picture.

    Attributes:
        points: (N, 2) float64 x, y in pixel-centre coordinates, from near to far, of the part inside the picture, which
            vehicles and the own bonnet may hide.
        style: solid, dashed, double, solid-dashed or dots.
        colour: white or yellow.
    """

    points: NDArray[np.float64]
    style: str
    colour: str


@dataclass(frozen=True)
class SyntheticScene:
    """A rendered scene.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8, 1 where lane paint is visible, 0 elsewhere.
        lanes: the lane lines in the picture.
        seed: the seed it was rendered from.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    lanes: tuple[SyntheticLane, ...]
    seed: int
