"""A member: one way of asking a model about a frame, and its answer at the frame's own size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lanecli.errors import InputError
from lanecli.geometry import Geometry, Placement
from lanecli.inference.backends.base import Backend
from lanecli.inference.network_input import network_picture
from lanecli.inference.views import AS_IT_IS, View
from lanecli.labels import LabelMap, planes_of
from lanecli.media.frame import Frame
from lanecli.uncertainty.maps import map_kind

CERTAIN_LOGIT = 15.0
"""Logit of the background outside a model's crop, where it is certain: a probability of 1 - 3e-7."""


@dataclass(frozen=True)
class Member:
    """One way of asking: a loaded model, what it does to a frame first, and how much its answer counts.

    Attributes:
        backend: the loaded model.
        geometry: what is done to a frame before it; usually the model's own.
        label_map: the classes answers come in: the ensemble's, which may order the model's in another way.
        view: how the picture is shown.
        weight: share of this answer, of all members' one.
        seed: of dropout; None leaves dropout off.
        learner: number of the learner it belongs to, for rules that tell them apart.
    """

    backend: Backend
    geometry: Geometry
    label_map: LabelMap
    view: View = AS_IT_IS
    weight: float = 1.0
    seed: int | None = None
    learner: int = 0

    def place(self, frame: Frame) -> Placement:
        """Where the network's picture lies in a frame."""
        return self.backend.place(self.geometry, frame.size)

    def picture(self, frame: Frame, placement: Placement) -> np.ndarray:
        """(h, w, 3) uint8 RGB: the frame as the network is to see it."""
        picture = network_picture(frame, placement)
        return np.ascontiguousarray(picture[:, ::-1] if self.view.mirror else picture)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The model's own train id of each of `label_map`'s classes, in the picture as it is."""
        return class_order(self.label_map, self.backend.spec.label_map)

    @cached_property
    def _unmirrored(self) -> tuple[int, ...]:
        """The model's own train id that stands for each of its classes in a mirrored picture."""
        own = self.backend.spec.label_map
        order = list(range(len(own.classes)))
        for one, other in own.swaps:
            order[one], order[other] = other, one
        return tuple(order)

    @cached_property
    def taken(self) -> tuple[int, ...]:
        """The model's own class behind each of `label_map`'s, the view undone."""
        own = self._unmirrored if self.view.mirror else tuple(range(len(self.order)))
        return tuple(own[i] for i in self.order)


def class_order(wanted: LabelMap, own: LabelMap) -> tuple[int, ...]:
    """The train id in `own` of each class of `wanted`.

    Raises:
        InputError: the maps do not hold the same classes.
    """
    if wanted.multilabel != own.multilabel or sorted(wanted.names) != sorted(own.names):
        raise InputError(
            f"models of an ensemble share their classes: one has {', '.join(wanted.names)}, "
            f"another {', '.join(own.names)}"
        )
    if (wanted.background is None) != (own.background is None) or (
        wanted.background is not None
        and own.background is not None
        and wanted.names[wanted.background] != own.names[own.background]
    ):
        raise InputError(f"models of an ensemble share their background: label maps '{wanted.name}' and '{own.name}'")
    return tuple(own.names.index(name) for name in wanted.names)


class MemberAnswer:
    """What a member says of one frame, brought back to the frame's own size and the ensemble's order of classes.

    Everything is computed when it is asked for. Outside a model's crop the background has probability one.
    """

    def __init__(self, member: Member, placement: Placement, found: Mapping[str, np.ndarray], frame: Frame) -> None:
        """Hold one answer.

        Args:
            member: who answered.
            placement: where its picture lay in the frame.
            found: the backend's outputs for this picture, without the batch dimension.
            frame: the frame it was asked about.
        """
        self.frame = frame
        self.member, self._placement, self._found = member, placement, found

    @property
    def weight(self) -> float:
        """Share of this answer, of all members' one."""
        return self.member.weight

    def planes(self) -> np.ndarray:
        """(K, H, W) float32 probabilities, one plane for each of `LabelMap.plane_classes`."""
        return self._scores(self._found["planes"], (0.0, 1.0), logits=False)

    def logits(self) -> np.ndarray:
        """(K, H, W) float32 logits scaled back to the frame; of two exclusive classes the one plane of differences."""
        own = self.member.backend.spec.label_map
        found = planes_of(self._found["logits"], own, logits=True)
        low = -CERTAIN_LOGIT if own.bernoulli else 0.0
        return self._scores(found, (low, CERTAIN_LOGIT), logits=True)

    def map(self, name: str) -> np.ndarray:
        """(H, W) float32 of a further output; outside the crop its least doubtful value in the picture."""
        return self.placed(self._found[name], sign=map_kind(name).sign)

    def placed(self, plane: np.ndarray, *, sign: int) -> np.ndarray:
        """A plane over the network's picture as (H, W) over the frame; the least doubtful value outside the crop.

        Args:
            plane: (h, w) float32.
            sign: 1 where high values are doubtful, -1 where low ones are.
        """
        outside = plane.min() if sign > 0 else plane.max()
        return self._placement.inverse_map(np.ascontiguousarray(self._turned(plane)), float(outside))

    def network_logits(self) -> np.ndarray:
        """(C, h, w) float32 logits of all classes as the network gives them, in its own order, the view not undone."""
        return self._found["logits"]

    def features(self) -> np.ndarray:
        """(D, h, w) float32 as the network gives them: at their own stride, the view not undone."""
        return self._found["features"]

    def _turned(self, plane: np.ndarray) -> np.ndarray:
        return plane[..., ::-1] if self.member.view.mirror else plane

    def _scores(self, found: np.ndarray, outside: tuple[float, float], *, logits: bool) -> np.ndarray:
        """Planes of the network's size to the frame's; `outside` the crop (all other classes, background)."""
        label_map, placement = self.member.label_map, self._placement
        taken = self.member.taken
        if label_map.bernoulli and not label_map.multilabel:
            plane = self._turned(found[0])
            if taken[1] != 1:  # the other order: class 1 here is class 0 there
                plane = -plane if logits else 1 - plane
            return placement.inverse_map(plane, outside[label_map.background == 1])[None]
        return np.stack(
            [
                placement.inverse_map(self._turned(found[source]), outside[number == label_map.background])
                for number, source in enumerate(taken)
            ]
        )
