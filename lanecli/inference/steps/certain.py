"""Leaves pixels undecided where the model is not sure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lanecli.errors import InputError
from lanecli.inference.prediction import Prediction
from lanecli.inference.steps import StepContext
from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.uncertainty.maps import DOUBTFUL, doubt, uncertainty_maps


class Certain:
    """Gives 255, which is no class, to pixels whose uncertainty is above a threshold."""

    needs = frozenset({"uncertainty"})
    gives: frozenset[str] = frozenset()

    def __init__(self, threshold: float) -> None:
        """Set the threshold.

        Args:
            threshold: compared with the measure's first map, in its own unit, with the sign that makes high values
                uncertain (minus the logarithm of a density).

        Raises:
            InputError: the threshold is not a finite number.
        """
        if not np.isfinite(threshold):
            raise InputError(f"--certain must be a finite number, not {threshold}")
        self._threshold = threshold

    def check(self, label_map: LabelMap) -> None:
        """Accept all classes."""

    def start(self, context: StepContext) -> Callable[[Prediction], Prediction]:
        """Return a function that keeps nothing from frame to frame."""
        return self._apply

    def _apply(self, prediction: Prediction) -> Prediction:
        name = uncertainty_maps(prediction.maps)[0]
        doubtful = doubt(name, prediction.maps[name]) > self._threshold
        class_map = np.where(doubtful, np.uint8(IGNORE_ID), prediction.class_map)
        labels, cleaned = (
            None if known is None else np.where(doubtful, np.uint8(IGNORE_ID), known)
            for known in (prediction.labels, prediction.cleaned)
        )
        maps = {**prediction.maps, DOUBTFUL: doubtful.astype(np.float32)}
        return replace(prediction, class_map=class_map, labels=labels, maps=maps, cleaned=cleaned)
