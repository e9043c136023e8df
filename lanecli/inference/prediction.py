"""What is known of one frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from lanecli.labels import LabelMap, probabilities_of
from lanecli.media.frame import Frame

_NOTHING: Mapping[str, np.ndarray] = MappingProxyType({})


@dataclass(frozen=True)
class Prediction:
    """What is known of one frame. Read-only to those it is handed to: a step gives a new one (`dataclasses.replace`).

    Attributes:
        frame: the frame; it carries its index and time.
        label_map: the classes.
        class_map: (H, W) uint8 train ids at the frame's own size; 255 where none of the classes holds.
        labels: (H, W) uint8, bit i where class i holds, for models of several labels at once.
        planes: (K, H, W) float32 probabilities, one plane for each of `LabelMap.plane_classes`, where somebody asked
            for them (of two exclusive classes one plane says all).
        maps: further planes by name, (H, W) float32, such as ``entropy`` or ``log_density``.
        lanes: the lane lines, where somebody asked for them.
    """

    frame: Frame
    label_map: LabelMap
    class_map: np.ndarray
    labels: np.ndarray | None = None
    planes: np.ndarray | None = None
    maps: Mapping[str, np.ndarray] = field(default_factory=lambda: _NOTHING)
    lanes: tuple[Any, ...] | None = None

    @property
    def probabilities(self) -> np.ndarray | None:
        """(C, H, W) float32, one plane a class; None where nobody asked for them."""
        return None if self.planes is None else probabilities_of(self.planes, self.label_map)
