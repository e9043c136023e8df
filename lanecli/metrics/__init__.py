"""Metrics: counts that stream and add up, then a named reduction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from lanecli.registry import Registry

if TYPE_CHECKING:
    import numpy as np

    from lanecli.labels import LabelMap

Own = TypeVar("Own", bound="Metric")


@dataclass(frozen=True)
class Truth:
    """What is known to be true of one picture.

    Attributes:
        mask: (H, W) uint8 train ids (bits, for several labels at once); 255 where ignored.
        lanes: lane lines, each (N, 2) float x, y in pixels of the picture; None where the dataset has none.
        image: path of the picture.
        group: record, sequence or drive it belongs to.
    """

    mask: np.ndarray
    lanes: tuple[np.ndarray, ...] | None = None
    image: str = ""
    group: str = ""


class Metric(ABC):
    """Scores of predictions against truth, from counts that add up over pictures.

    Attributes:
        needs: parts of a Prediction it reads besides the class map: ``"planes"``, ``"lanes"``, or names of maps.
        definitions: what each score means, background and pooling stated.
        counts: what has been counted; those of several parts of a set add up.
        pooled: whether it is counted over all groups at once, without intervals and groups' own scores: for counts too
            large to keep for each group.
    """

    pooled: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset()
    definitions: ClassVar[Mapping[str, str]] = {}
    counts: dict[str, np.ndarray]

    @abstractmethod
    def __init__(self, label_map: LabelMap) -> None:
        """Start with nothing counted."""

    @abstractmethod
    def update(self, prediction: Any, truth: Truth) -> None:
        """Count one picture: a Prediction and what is true of it."""

    @abstractmethod
    def scores(self) -> dict[str, Any]:
        """Scores by name: a number, None where it is not defined, or a mapping from class names to such."""

    def with_counts(self: Own, counts: Mapping[str, np.ndarray]) -> Own:
        """The same metric with other counts, such as the sum of several groups'."""
        import copy

        other = copy.copy(self)
        other.counts = dict(counts)
        return other


METRICS: Registry[type[Metric]] = Registry("metric")
"""Facts: ``asked``, true for those that are not part of every evaluation but asked for by name."""
METRICS.add(
    "segmentation",
    "lanecli.metrics.segmentation:PixelScores",
    summary="IoU, Dice, precision, recall and pixel accuracy from one confusion matrix",
)
METRICS.add(
    "calibration",
    "lanecli.metrics.calibration:CalibrationScores",
    summary="negative log-likelihood, Brier score, expected calibration error",
)
METRICS.add(
    "uncertainty",
    "lanecli.metrics.uncertainty:UncertaintyScores",
    summary="how well the uncertainty knows where the prediction is wrong: PAvPU, AUROC, AURC, IoU over coverage",
    asked=True,
)
METRICS.add(
    "lanes",
    "lanecli.metrics.lanes:LaneScores",
    summary="TuSimple's and CULane's scores of lane lines",
    asked=True,
)
