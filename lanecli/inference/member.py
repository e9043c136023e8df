"""A member: a model, how a frame is shown to it, and its answer at the frame's own size."""

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
"""Logit of the background outside a model's crop, where it is taken as certain: a probability of 1 - 3e-7."""


@dataclass(frozen=True)
class Member:
    """A loaded model, what is done to a frame before it, and how much its answer counts.

    Attributes:
        backend: the loaded model.
        geometry: what is done to a frame first; usually the model's own.
        label_map: the classes of the answers: the ensemble's, whose order may differ from the model's.
        view: how the picture is shown to the network.
        weight: share of this answer; the weights of all members sum to one.
        seed: seed of dropout; None leaves dropout off.
        learner: number of the learner it belongs to, for rules that tell learners apart.
    """

    backend: Backend
    geometry: Geometry
    label_map: LabelMap
    view: View = AS_IT_IS
    weight: float = 1.0
    seed: int | None = None
    learner: int = 0

    def place(self, frame: Frame) -> Placement:
        """Return where the network's picture lies in a frame."""
        return self.backend.place(self.geometry, frame.size)

    def picture(self, frame: Frame, placement: Placement) -> np.ndarray:
        """Return the frame as the network sees it, (h, w, 3) uint8 RGB."""
        picture = network_picture(frame, placement)
        return np.ascontiguousarray(picture[:, ::-1] if self.view.mirror else picture)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The model's own train id of each class of `label_map`, in a picture that is not mirrored."""
        return class_order(self.label_map, self.backend.spec.label_map)

    @cached_property
    def _unmirrored(self) -> tuple[int, ...]:
        """The model's own train id that stands for each of its classes when the picture is mirrored."""
        own = self.backend.spec.label_map
        order = list(range(len(own.classes)))
        for one, other in own.swaps:
            order[one], order[other] = other, one
        return tuple(order)

    @cached_property
    def source_classes(self) -> tuple[int, ...]:
        """The model's own train id behind each class of `label_map`, with the view undone."""
        own = self._unmirrored if self.view.mirror else tuple(range(len(self.order)))
        return tuple(own[i] for i in self.order)


def class_order(wanted: LabelMap, own: LabelMap) -> tuple[int, ...]:
    """Return the train id in `own` of each class of `wanted`.

    Raises:
        InputError: the maps do not hold the same classes.
    """
    if wanted.multilabel != own.multilabel or sorted(wanted.names) != sorted(own.names):
        raise InputError(
            f"the models of an ensemble must have the same classes: one has {', '.join(wanted.names)}, "
            f"another {', '.join(own.names)}"
        )
    if (wanted.background is None) != (own.background is None) or (
        wanted.background is not None
        and own.background is not None
        and wanted.names[wanted.background] != own.names[own.background]
    ):
        raise InputError(
            "the models of an ensemble must have the same background: "
            f"label maps '{wanted.name}' and '{own.name}' differ"
        )
    return tuple(own.names.index(name) for name in wanted.names)


class MemberAnswer:
    """A member's answer for one frame, at the frame's own size and in the ensemble's order of classes.

    Everything is computed when it is asked for. Outside a model's crop the background has probability one.
    """

    def __init__(self, member: Member, placement: Placement, outputs: Mapping[str, np.ndarray], frame: Frame) -> None:
        """Hold one answer.

        Args:
            member: the member that answered.
            placement: where its picture lay in the frame.
            outputs: the backend's outputs for this picture, without the batch dimension.
            frame: the frame.
        """
        self.frame = frame
        self.member, self._placement, self._outputs = member, placement, outputs

    @property
    def weight(self) -> float:
        """Share of this answer; the weights of all members sum to one."""
        return self.member.weight

    def planes(self) -> np.ndarray:
        """Return (K, H, W) float32 probabilities, one plane for each of `LabelMap.plane_classes`."""
        return self._scores(self._outputs["planes"], (0.0, 1.0), logits=False)

    def logits(self) -> np.ndarray:
        """Return (K, H, W) float32 logits scaled to the frame; one plane of differences for two exclusive classes."""
        own = self.member.backend.spec.label_map
        scores = planes_of(self._outputs["logits"], own, logits=True)
        low = -CERTAIN_LOGIT if own.bernoulli else 0.0
        return self._scores(scores, (low, CERTAIN_LOGIT), logits=True)

    def map(self, name: str) -> np.ndarray:
        """Return a further output as (H, W) float32; outside the crop it is the least doubtful value in the picture."""
        return self.at_frame_size(self._outputs[name], sign=map_kind(name).sign)

    def at_frame_size(self, plane: np.ndarray, *, sign: int) -> np.ndarray:
        """Scale a plane of the network's picture to the frame, (H, W); outside the crop it is its least doubtful value.

        Args:
            plane: (h, w) float32.
            sign: 1 if high values are doubtful, -1 if low ones are.
        """
        outside = plane.min() if sign > 0 else plane.max()
        return self._placement.inverse_map(np.ascontiguousarray(self._unmirrored(plane)), float(outside))

    def network_logits(self) -> np.ndarray:
        """Return (C, h, w) float32 logits as the network gives them: in its own class order, still mirrored."""
        return self._outputs["logits"]

    def features(self) -> np.ndarray:
        """Return (D, h, w) float32 features as the network gives them: at their own stride, still mirrored."""
        return self._outputs["features"]

    def _unmirrored(self, plane: np.ndarray) -> np.ndarray:
        return plane[..., ::-1] if self.member.view.mirror else plane

    def _scores(self, scores: np.ndarray, outside: tuple[float, float], *, logits: bool) -> np.ndarray:
        """Scale planes to the frame's size, with the values `outside` the crop (other classes, background)."""
        label_map, placement = self.member.label_map, self._placement
        source_classes = self.member.source_classes
        if label_map.bernoulli and not label_map.multilabel:
            plane = self._unmirrored(scores[0])
            if source_classes[1] != 1:  # the model has the two classes in the other order
                plane = -plane if logits else 1 - plane
            return placement.inverse_map(plane, outside[label_map.background == 1])[None]
        return np.stack(
            [
                placement.inverse_map(self._unmirrored(scores[source]), outside[number == label_map.background])
                for number, source in enumerate(source_classes)
            ]
        )
