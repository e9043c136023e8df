"""Steps: from Prediction to Prediction, with a state for each source: refinement, smoothing, lane lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from lanecli.registry import Registry

if TYPE_CHECKING:
    from lanecli.inference.prediction import Prediction
    from lanecli.labels import LabelMap


@dataclass(frozen=True)
class StepContext:
    """What a step knows of the source it starts on.

    Attributes:
        label_map: the classes.
        is_video: whether frames follow each other in time.
        frame_rate: frames a second, where the source says so.
    """

    label_map: LabelMap
    is_video: bool = False
    frame_rate: float | None = None


class Step(Protocol):
    """A step with its settings.

    Attributes:
        needs: parts of a Prediction it takes: ``"planes"``, ``"lanes"``, or names of maps.
        gives: parts it adds; whoever reads one gets the step without asking for it by name.
    """

    needs: frozenset[str]
    gives: frozenset[str]

    def check(self, label_map: LabelMap) -> None:
        """Raise InputError where it does not fit these classes."""

    def start(self, context: StepContext) -> Callable[[Prediction], Prediction]:
        """Begin with a source: what comes back is called with its Predictions in order."""


STEPS: Registry[Any] = Registry("step")
"""Facts: ``order``, low ones come first."""
STEPS.add("clean", "lanecli.inference.steps.clean:Clean", summary="specks and the bonnet taken out", order=40)
STEPS.add("crf", "lanecli.inference.steps.crf:DenseCrf", summary="dense CRF on the picture's edges", order=10)
STEPS.add("smooth", "lanecli.inference.steps.smooth:Smooth", summary="probabilities smoothed along a video", order=20)
STEPS.add("lanes", "lanecli.inference.steps.lanes:LaneLines", summary="lane lines, followed along a video", order=80)
STEPS.add(
    "certain", "lanecli.inference.steps.certain:Certain", summary="doubtful pixels left undecided (255)", order=90
)
