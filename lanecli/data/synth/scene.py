"""What a rendered road scene is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LaneLine:
    """One lane line in the picture.

    Attributes:
        points: (N, 2) float64 x, y in pixel-centre coordinates, near to far, only the part inside the picture;
            it may pass under vehicles and the own bonnet.
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
        mask: (H, W) uint8, 1 where lane paint is seen, 0 elsewhere.
        lanes: the lane lines in sight.
        seed: the seed it was rendered from.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    lanes: tuple[LaneLine, ...]
    seed: int
