"""Steps turn a Prediction into another, with a state for each source: refinement, smoothing, lane lines."""

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
    """What a step knows about its source.

    Attributes:
        label_map: the classes.
        is_video: whether frames follow each other in time.
        frame_rate: frames per second, if the source says so.
    """

    label_map: LabelMap
    is_video: bool = False
    frame_rate: float | None = None


class Step(Protocol):
    """A step with its settings.

    Attributes:
        needs: parts of a Prediction it reads: ``"planes"``, ``"lanes"``, ``"shown_map"``, names of maps.
        gives: parts it adds; the step runs whenever something reads one of them, even if the user did not name it.
    """

    needs: frozenset[str]
    gives: frozenset[str]

    def check(self, label_map: LabelMap) -> None:
        """Raise InputError if the step does not fit these classes."""

    def start(self, context: StepContext) -> Callable[[Prediction], Prediction]:
        """Start on a source and return a function that is called with its Predictions in order."""


STEPS: Registry[Any] = Registry("step")
"""Facts: ``order``: steps run in rising order."""
STEPS.add(
    "clean",
    "lanecli.inference.steps.clean:Clean",
    summary="removes specks and detections on the car's bonnet",
    order=40,
)
STEPS.add(
    "crf",
    "lanecli.inference.steps.crf:DenseCrf",
    summary="dense CRF: moves class borders to the picture's edges",
    order=10,
)
STEPS.add("smooth", "lanecli.inference.steps.smooth:Smooth", summary="smooths probabilities along a video", order=20)
STEPS.add(
    "lanes",
    "lanecli.inference.steps.lanes:LaneLines",
    summary="finds lane lines and tracks them along a video",
    order=80,
)
STEPS.add(
    "certain", "lanecli.inference.steps.certain:Certain", summary="leaves doubtful pixels undecided (255)", order=90
)
