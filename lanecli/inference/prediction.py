"""The result for one frame."""

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
    """The result for one frame. It is read-only: a step makes a new one (`dataclasses.replace`).

    Attributes:
        frame: the frame, which carries its index and time.
        label_map: the classes.
        class_map: (H, W) uint8 train ids at the frame's own size; 255 where no class holds.
        labels: (H, W) uint8, bit i set where class i holds, for multi-label models; else None.
        planes: (K, H, W) float32 probabilities, one plane for each of `LabelMap.plane_classes` (a single plane for two
            exclusive classes); None if nothing needs them.
        maps: further maps by name, (H, W) float32, such as ``entropy`` or ``log_density``.
        lanes: the lane lines; None if nothing needs them.
        cleaned: `class_map` without what cannot be lane paint; None if nothing needs it.
    """

    frame: Frame
    label_map: LabelMap
    class_map: np.ndarray
    labels: np.ndarray | None = None
    planes: np.ndarray | None = None
    maps: Mapping[str, np.ndarray] = field(default_factory=lambda: _NOTHING)
    lanes: tuple[Any, ...] | None = None
    cleaned: np.ndarray | None = None

    @property
    def shown_map(self) -> np.ndarray:
        """(H, W) uint8, the class map that overlays and lane lines show: `cleaned`, if there is one."""
        return self.class_map if self.cleaned is None else self.cleaned

    @property
    def probabilities(self) -> np.ndarray | None:
        """(C, H, W) float32, one plane per class; None if nothing needs them."""
        return None if self.planes is None else probabilities_of(self.planes, self.label_map)
