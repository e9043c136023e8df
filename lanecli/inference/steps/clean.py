"""Cleaning: removes what cannot be lane paint, from what is shown or from the class map itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lanecli.errors import InputError
from lanecli.inference.prediction import Prediction
from lanecli.inference.steps import StepContext
from lanecli.labelmaps.line_classes import line_classes
from lanecli.labels import LabelMap
from lanecli.postprocess.clean import bonnet_edge, clean

_EDGE_INTERVAL = 12  # in a video, the bonnet's edge is looked for in one of so many frames


class Clean:
    """Applies :func:`lanecli.postprocess.clean.clean`: removes specks, and paint in the sky or on the car's own bonnet.

    It runs for overlays and lane lines, which show `Prediction.shown_map`, if all classes but the background are lane
    lines. Everything else is left as the network computed it, unless the user asks for a clean class map.
    """

    needs: frozenset[str] = frozenset()
    gives = frozenset({"shown_map"})

    def __init__(self, everywhere: bool = False) -> None:
        """Choose what is cleaned.

        Args:
            everywhere: whether the class map is cleaned too, which masks and scores are made of.
        """
        self._everywhere = everywhere

    def check(self, label_map: LabelMap) -> None:
        """Raise InputError if the class map is to be cleaned and has no background, or is multi-label."""
        if self._everywhere and not _one_class_a_pixel(label_map):
            raise InputError(
                f"--clean needs one class per pixel and a background; label map '{label_map.name}' lacks one of them"
            )

    def start(self, context: StepContext) -> Callable[[Prediction], Prediction]:
        """Return a function that remembers the edge of the bonnet for some frames of a video."""
        label_map = context.label_map
        if not self._everywhere and not (_one_class_a_pixel(label_map) and _only_lines(label_map)):
            return lambda prediction: prediction
        find_edge = _RememberedEdge() if context.is_video else bonnet_edge
        return lambda prediction: self._apply(prediction, find_edge)

    def _apply(self, prediction: Prediction, find_edge: Callable[[np.ndarray], float | None]) -> Prediction:
        frame, background = prediction.frame, prediction.label_map.background or 0
        picture = frame.y if frame.is_planar else frame.rgb()
        cleaned = clean(prediction.class_map, picture, background, find_edge)
        return replace(prediction, class_map=cleaned) if self._everywhere else replace(prediction, cleaned=cleaned)


class _RememberedEdge:
    """Looks for the edge of the bonnet in the first frame that needs it, and again after some frames."""

    def __init__(self) -> None:
        self._left = 0
        self._edge: float | None = None

    def __call__(self, picture: np.ndarray) -> float | None:
        if not self._left:
            self._edge, self._left = bonnet_edge(picture), _EDGE_INTERVAL
        self._left -= 1
        return self._edge


def _one_class_a_pixel(label_map: LabelMap) -> bool:
    return not label_map.multilabel and label_map.background is not None


def _only_lines(label_map: LabelMap) -> bool:
    """Return whether all classes but the background are lane lines."""
    return len(line_classes(label_map)) == len(label_map.classes) - 1
