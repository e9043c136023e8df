"""Corrupts pictures with noise, blur or fog of five strengths, to test whether a model notices."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

STRENGTHS = (1, 2, 3, 4, 5)
_NOISE = (8.0, 16.0, 32.0, 48.0, 64.0)  # standard deviation, levels
_BLUR = (1.0, 2.0, 4.0, 6.0, 8.0)  # standard deviation, pixels of a picture 640 wide
_FOG = (0.2, 0.35, 0.5, 0.65, 0.8)  # share of the horizon hidden
_WHITE = 205.0


def _noise(picture: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    return picture + rng.normal(0, _NOISE[strength - 1], picture.shape)


def _blur(picture: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), _BLUR[strength - 1] * picture.shape[1] / 640)


def _fog(picture: np.ndarray, strength: int, rng: np.random.Generator) -> np.ndarray:
    # thick at the horizon, assumed in the middle of the picture, and thinner towards the car
    rows = np.linspace(0, 1, picture.shape[0])[:, None, None]
    hidden = _FOG[strength - 1] * np.clip(1.5 - rows, 0, 1)
    return picture * (1 - hidden) + _WHITE * hidden


CORRUPTIONS: dict[str, Callable[[np.ndarray, int, np.random.Generator], np.ndarray]] = {
    "noise": _noise,
    "blur": _blur,
    "fog": _fog,
}


def corrupt(picture: np.ndarray, kind: str, strength: int, seed: int = 0) -> np.ndarray:
    """Return a corrupted version of a picture.

    Args:
        picture: (H, W, 3) uint8.
        kind: one of :data:`CORRUPTIONS`.
        strength: 1 to 5.
        seed: seed of the noise.

    Returns:
        (H, W, 3) uint8, a new array; the same for the same arguments.
    """
    changed = CORRUPTIONS[kind](picture.astype(np.float64), strength, np.random.default_rng(seed))
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)
