"""Cleaning: removes from the class map what cannot be lane paint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lanecli.errors import InputError
from lanecli.inference.prediction import Prediction
from lanecli.inference.steps import StepContext
from lanecli.labels import LabelMap
from lanecli.postprocess.clean import clean


class Clean:
    """Applies :func:`lanecli.postprocess.clean.clean`: removes specks, and paint in the sky or on the car's own bonnet.

    Probabilities stay as the network computed them.
    """

    needs: frozenset[str] = frozenset()
    gives: frozenset[str] = frozenset()

    def check(self, label_map: LabelMap) -> None:
        """Raise InputError if the map has no background, or is multi-label."""
        if label_map.multilabel or label_map.background is None:
            raise InputError(
                f"--clean needs one class per pixel and a background; label map '{label_map.name}' lacks one of them"
            )

    def start(self, context: StepContext) -> Callable[[Prediction], Prediction]:
        """Return a function that keeps nothing from frame to frame."""
        return self._apply

    def _apply(self, prediction: Prediction) -> Prediction:
        frame, background = prediction.frame, prediction.label_map.background or 0
        cleaned = clean(prediction.class_map, frame.y if frame.is_planar else frame.rgb(), background)
        return replace(prediction, class_map=cleaned)
