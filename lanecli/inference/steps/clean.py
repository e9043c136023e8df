"""Cleaning: what cannot be lane paint is taken out of the class map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lanecli.errors import InputError
from lanecli.inference.prediction import Prediction
from lanecli.inference.steps import StepContext
from lanecli.labels import LabelMap
from lanecli.postprocess.clean import clean


class Clean:
    """:func:`lanecli.postprocess.clean.clean`: specks, what lies in the sky, and what lies on the car's own bonnet.

    Probabilities stay the network's own.
    """

    needs: frozenset[str] = frozenset()
    gives: frozenset[str] = frozenset()

    def check(self, label_map: LabelMap) -> None:
        """Raise InputError where there is no background to give a pixel, or several labels hold at one."""
        if label_map.multilabel or label_map.background is None:
            raise InputError(f"--clean needs one class a pixel and a background; label map '{label_map.name}' has none")

    def start(self, context: StepContext) -> Callable[[Prediction], Prediction]:
        """It keeps nothing from frame to frame."""
        return self._apply

    def _apply(self, prediction: Prediction) -> Prediction:
        frame, background = prediction.frame, prediction.label_map.background or 0
        cleaned = clean(prediction.class_map, frame.y if frame.is_planar else frame.rgb(), background)
        return replace(prediction, class_map=cleaned)
