"""Leaving undecided what the model is not sure of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lanecli.errors import InputError
from lanecli.inference.prediction import Prediction
from lanecli.inference.steps import StepContext
from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.uncertainty.maps import DOUBTFUL, doubt, measured


class Certain:
    """Pixels whose uncertainty is above a threshold get 255, the id of none of the classes."""

    needs = frozenset({"uncertainty"})
    gives: frozenset[str] = frozenset()

    def __init__(self, threshold: float) -> None:
        """Args: threshold: of the measure's first map, in its own unit, turned so that high is uncertain (of a
        density minus its logarithm)."""
        if not np.isfinite(threshold):
            raise InputError(f"--certain is a number, not {threshold}")
        self._threshold = threshold

    def check(self, label_map: LabelMap) -> None:
        """It fits all classes."""

    def start(self, context: StepContext) -> Callable[[Prediction], Prediction]:
        """The same for every source."""
        return self._apply

    def _apply(self, prediction: Prediction) -> Prediction:
        name = measured(prediction.maps)[0]
        doubtful = doubt(name, prediction.maps[name]) > self._threshold
        class_map = np.where(doubtful, np.uint8(IGNORE_ID), prediction.class_map)
        labels = None if prediction.labels is None else np.where(doubtful, np.uint8(IGNORE_ID), prediction.labels)
        maps = {**prediction.maps, DOUBTFUL: doubtful.astype(np.float32)}
        return replace(prediction, class_map=class_map, labels=labels, maps=maps)
