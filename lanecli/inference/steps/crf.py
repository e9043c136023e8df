"""Dense CRF: class borders moved onto the picture's edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lanecli.errors import InputError
from lanecli.inference.prediction import Prediction
from lanecli.inference.steps import StepContext
from lanecli.labels import LabelMap, decide, planes_of
from lanecli.postprocess.crf import refine


class DenseCrf:
    """:func:`lanecli.postprocess.crf.refine` on the combined probabilities, with the frame's own pixels."""

    needs = frozenset({"planes"})
    gives: frozenset[str] = frozenset()

    def check(self, label_map: LabelMap) -> None:
        """Raise InputError for several labels at a pixel."""
        if label_map.multilabel:
            raise InputError(
                f"--crf refines models of one class a pixel; label map '{label_map.name}' holds several at once"
            )

    def start(self, context: StepContext) -> Callable[[Prediction], Prediction]:
        """It keeps nothing from frame to frame."""
        return self._apply

    def _apply(self, prediction: Prediction) -> Prediction:
        label_map, probabilities = prediction.label_map, prediction.probabilities
        assert probabilities is not None
        refined = refine(probabilities, prediction.frame.rgb(), background=label_map.background)
        planes = planes_of(refined, label_map)
        return replace(prediction, class_map=decide(planes, label_map).class_map, planes=planes)
