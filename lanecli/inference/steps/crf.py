"""Dense CRF: moves class borders to the picture's edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lanecli.errors import InputError
from lanecli.inference.prediction import Prediction
from lanecli.inference.steps import StepContext
from lanecli.labels import LabelMap, decide, planes_of
from lanecli.postprocess.crf import refine


class DenseCrf:
    """Applies :func:`lanecli.postprocess.crf.refine` to the combined probabilities, with the frame's own pixels."""

    needs = frozenset({"planes"})
    gives: frozenset[str] = frozenset()

    def check(self, label_map: LabelMap) -> None:
        """Raise InputError for a multi-label map."""
        if label_map.multilabel:
            raise InputError(f"--crf needs one class per pixel, but label map '{label_map.name}' is multi-label")

    def start(self, context: StepContext) -> Callable[[Prediction], Prediction]:
        """Return a function that keeps nothing from frame to frame."""
        return self._apply

    def _apply(self, prediction: Prediction) -> Prediction:
        label_map, probabilities = prediction.label_map, prediction.probabilities
        assert probabilities is not None
        refined = refine(probabilities, prediction.frame.rgb(), background=label_map.background)
        planes = planes_of(refined, label_map)
        return replace(prediction, class_map=decide(planes, label_map).class_map, planes=planes)
