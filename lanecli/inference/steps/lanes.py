"""Lane lines: from the class map that is shown of each frame, followed over the frames of a video."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lanecli.errors import InputError
from lanecli.inference.prediction import Prediction
from lanecli.inference.steps import StepContext
from lanecli.labelmaps.line_classes import line_classes
from lanecli.labels import LabelMap
from lanecli.lanes import LaneTracker, find_lanes

_USUAL_RATE = 25.0


class LaneLines:
    """:func:`lanecli.lanes.find_lanes` on a picture, a :class:`lanecli.lanes.LaneTracker` on a video."""

    needs = frozenset({"shown_map"})
    gives = frozenset({"lanes"})

    def check(self, label_map: LabelMap) -> None:
        """Raise InputError where no class reads like a lane line."""
        if not line_classes(label_map):
            raise InputError(
                f"lane lines need a class that is one; label map '{label_map.name}' has {', '.join(label_map.names)}"
            )

    def start(self, context: StepContext) -> Callable[[Prediction], Prediction]:
        """Begin with a source; a video gets a tracker of its own."""
        if not context.is_video:
            return _once
        tracker = LaneTracker(context.frame_rate or _USUAL_RATE)
        return lambda p: replace(p, lanes=tracker.find(p.shown_map, p.label_map, p.frame))


def _once(prediction: Prediction) -> Prediction:
    frame = prediction.frame
    lanes = find_lanes(prediction.shown_map, prediction.label_map, frame.size, picture=frame)
    return replace(prediction, lanes=lanes)
