"""Combiners: how the answers of several members become one. Each folds them one by one, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from lanecli.registry import Registry

if TYPE_CHECKING:
    import numpy as np

    from lanecli.inference.member import MemberAnswer
    from lanecli.labels import LabelMap


@dataclass(frozen=True)
class Combined:
    """What members say together.

    Attributes:
        planes: (K, H, W) float32 probabilities, one plane for each of `LabelMap.plane_classes`.
        ties: (K, H, W) float32 that decides between equal planes, where the rule has a say in it.
    """

    planes: np.ndarray
    ties: np.ndarray | None = None


class Fold(Protocol):
    """The members' answers to one frame, taken in one after the other."""

    def add(self, answer: MemberAnswer) -> None:
        """Take one in; what is asked of it is computed here and not kept by it."""

    def result(self) -> Combined:
        """What they come to; called once, after the last."""


class Combiner(Protocol):
    """A rule.

    Attributes:
        needs: names of the outputs it asks every member for.
    """

    needs: frozenset[str]

    def begin(self, label_map: LabelMap) -> Fold:
        """Start on a frame."""


COMBINERS: Registry[type[Combiner]] = Registry("combination rule")
"""Facts: ``weights``, whether members may have them; ``meta``, whether the rule is learnt and lies in a file."""
COMBINERS.add("mean", "lanecli.inference.combiners.mean:Mean", summary="mean of probabilities")
COMBINERS.add(
    "weighted", "lanecli.inference.combiners.mean:Mean", summary="weighted mean of probabilities", weights=True
)
COMBINERS.add(
    "logit_mean",
    "lanecli.inference.combiners.logit_mean:LogitMean",
    summary="softmax (sigmoid for several labels) of the mean logits",
    weights=True,
)
COMBINERS.add(
    "geometric",
    "lanecli.inference.combiners.geometric:Geometric",
    summary="normalised geometric mean of probabilities",
    weights=True,
)
for _name, _summary in (
    ("stacking", "a small model fitted to out-of-fold answers; made by lanecli ensemble fit"),
    ("blending", "the same, fitted to answers on a hold-out split"),
):
    COMBINERS.add(_name, "lanecli.inference.combiners.stacking:Stacking", summary=_summary, meta=True)
COMBINERS.add(
    "vote",
    "lanecli.inference.combiners.vote:Vote",
    summary="shares of the members' votes; ties go to the larger mean probability",
    weights=True,
)
