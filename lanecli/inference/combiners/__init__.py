"""Combiners fold the answers of several members, one by one and in bounded memory, into one."""

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
    """The combined answer.

    Attributes:
        planes: (K, H, W) float32 probabilities, one plane for each of `LabelMap.plane_classes`.
        ties: (K, H, W) float32 scores that decide between equal planes, if the rule needs them; else None.
    """

    planes: np.ndarray
    ties: np.ndarray | None = None


class Fold(Protocol):
    """Takes the members' answers for one frame one by one."""

    def add(self, answer: MemberAnswer) -> None:
        """Add an answer. Whatever the fold asks of it is computed now; the answer does not keep it."""

    def result(self) -> Combined:
        """Return the combined answer; called once, after the last `add`."""


class Combiner(Protocol):
    """A combination rule.

    Attributes:
        needs: names of the outputs it needs from every member.
    """

    needs: frozenset[str]

    def begin(self, label_map: LabelMap) -> Fold:
        """Start on a frame."""


COMBINERS: Registry[type[Combiner]] = Registry("combination rule")
"""Facts: ``weights``, whether members may have weights; ``meta``, whether the rule is fitted and read from a file."""
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
    ("stacking", "a small model fitted to out-of-fold answers by lanecli ensemble fit"),
    ("blending", "a small model fitted to answers on a hold-out split by lanecli ensemble fit"),
):
    COMBINERS.add(_name, "lanecli.inference.combiners.stacking:Stacking", summary=_summary, meta=True)
COMBINERS.add(
    "vote",
    "lanecli.inference.combiners.vote:Vote",
    summary="shares of the members' votes; ties go to the larger mean probability",
    weights=True,
)
