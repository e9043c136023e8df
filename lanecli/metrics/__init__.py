"""Metrics: counts that can be streamed and added up, and a named reduction of them."""

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
    """The truth about one picture.

    Attributes:
        mask: (H, W) uint8 train ids (label bits for a multi-label map); 255 where ignored.
        lanes: lane lines, each (N, 2) float x, y in pixels of the picture; None if the dataset has none.
        image: path of the picture.
        group: record, sequence or drive it belongs to.
    """

    mask: np.ndarray
    lanes: tuple[np.ndarray, ...] | None = None
    image: str = ""
    group: str = ""


class Metric(ABC):
    """Scores of predictions against the truth, from counts that add up over pictures.

    Attributes:
        needs: parts of a Prediction it reads besides the class map: ``"planes"``, ``"lanes"``, ``"shown_map"``, names
            of maps.
        definitions: the meaning of each score, including background and pooling.
        counts: the counts so far; the counts of several parts of a set add up.
        pooled: whether it counts all groups together, without intervals and without scores per group: for counts that
            are too large to keep for each group.
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
        """Count one picture, given its Prediction and the truth."""

    @abstractmethod
    def scores(self) -> dict[str, Any]:
        """Return the scores by name: a number, None if undefined, or a mapping from class names to such values."""

    def with_counts(self: Own, counts: Mapping[str, np.ndarray]) -> Own:
        """Return the same metric with other counts, such as the sum over several groups."""
        import copy

        other = copy.copy(self)
        other.counts = dict(counts)
        return other


METRICS: Registry[type[Metric]] = Registry("metric")
"""Facts: ``optional``, true for metrics that are computed only if they are asked for by name."""
METRICS.add(
    "segmentation",
    "lanecli.metrics.segmentation:PixelScores",
    summary="IoU, Dice, precision, recall and pixel accuracy from one confusion matrix",
)
METRICS.add(
    "boundary",
    "lanecli.metrics.boundary:BoundaryScores",
    summary="how many boundary pixels of each class are met within 2 px",
)
METRICS.add(
    "calibration",
    "lanecli.metrics.calibration:CalibrationScores",
    summary="negative log-likelihood, Brier score, expected calibration error",
)
METRICS.add(
    "uncertainty",
    "lanecli.metrics.uncertainty:UncertaintyScores",
    summary="how well the uncertainty finds wrong predictions: PAvPU, AUROC, AURC, IoU over coverage",
    optional=True,
)
METRICS.add(
    "lanes",
    "lanecli.metrics.lanes:LaneScores",
    summary="the TuSimple and CULane scores of lane lines",
    optional=True,
)
