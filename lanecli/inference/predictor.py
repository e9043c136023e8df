"""The predictor: frames in, Predictions out, with as many pictures under way as the backend can use."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lanecli.errors import InputError
from lanecli.geometry import Placement
from lanecli.inference.backends import Backend, Probabilities
from lanecli.inference.network_input import network_picture, place
from lanecli.labels import LabelMap
from lanecli.media.frame import Frame
from lanecli.postprocess.crf import refine


@dataclass(frozen=True)
class Prediction:
    """What is known of one frame.

    Attributes:
        frame: the frame; it carries its index and time.
        class_map: (H, W) uint8 train ids at the frame's own size.
        probabilities: (C, H, W) float32 at the frame's own size, where they were asked for.
        labels: (H, W) uint8, bit i where class i holds, for models of several labels at once.
    """

    frame: Frame
    class_map: np.ndarray
    probabilities: np.ndarray | None = None
    labels: np.ndarray | None = None


class Predictor:
    """One model, or several whose probabilities are averaged.

    Averaging happens at the frame's own size, after each member's inverse Geometry and before the class is chosen; so
    does the dense CRF, on the averaged probabilities with the frame's own pixels.
    """

    def __init__(self, backends: Sequence[Backend], *, keep_probabilities: bool = False, crf: bool = False) -> None:
        """Set up.

        Args:
            backends: the members; they must speak of the same classes.
            keep_probabilities: give them with each Prediction (C floats a pixel: costly on video).
            crf: refine probabilities with a dense CRF, :func:`lanecli.postprocess.crf.refine`.

        Raises:
            InputError: members' label maps differ, or a CRF is asked of a model of several labels at once.
        """
        first = backends[0].spec
        for other in backends[1:]:
            if not first.label_map.same_classes(other.spec.label_map):
                raise InputError(
                    f"models of an ensemble share their classes: one has {', '.join(first.label_map.names)}, "
                    f"another {', '.join(other.spec.label_map.names)}"
                )
        if crf and first.label_map.multilabel:
            raise InputError(
                f"--crf refines models of one class a pixel; label map '{first.label_map.name}' holds several at once"
            )
        self.backends = list(backends)
        self.crf = crf
        self.label_map: LabelMap = first.label_map
        self.keep_probabilities = keep_probabilities
        self._depth = min(backend.depth for backend in self.backends)

    def stream(self, frames: Iterable[Frame]) -> Iterator[Prediction]:
        """A Prediction for each frame, in order; the next frames are already under way while one is taken."""
        waiting: deque[tuple[Frame, list[tuple[Placement, Probabilities]]]] = deque()
        try:
            for frame in frames:
                if len(waiting) == self._depth:
                    yield self._take(*waiting.popleft())
                waiting.append((frame, [self._submit(backend, frame) for backend in self.backends]))
            while waiting:
                yield self._take(*waiting.popleft())
        finally:  # cut short: what is under way is taken, so that a backend has its requests back
            for _, answers in waiting:
                for _, answer in answers:
                    with contextlib.suppress(Exception):  # the reason it was cut short matters more
                        answer.result()

    def predict(self, frame: Frame) -> Prediction:
        """The Prediction for one frame."""
        return self._take(frame, [self._submit(backend, frame) for backend in self.backends])

    @staticmethod
    def _submit(backend: Backend, frame: Frame) -> tuple[Placement, Probabilities]:
        placement = place(backend.spec.geometry, frame.size, backend.size)
        return placement, backend.submit(network_picture(frame, placement))

    def _take(self, frame: Frame, answers: list[tuple[Placement, Probabilities]]) -> Prediction:
        two_way = len(self.label_map.classes) == 2 and not self.label_map.multilabel
        if two_way and not self.keep_probabilities and not self.crf:
            # of two classes one map says all: class 1 where it is above a half
            outside = float(self.label_map.background == 1)
            maps = [p.inverse_map(answer.result()[1], outside) for p, answer in answers]
            positive = maps[0] if len(maps) == 1 else np.mean(maps, axis=0)
            class_map = cv2.compare(positive, 0.5, cv2.CMP_GT)
            return Prediction(frame, cv2.min(class_map, 1.0, dst=class_map))
        background = self.label_map.background
        members = [p.inverse_probabilities(answer.result(), background) for p, answer in answers]
        probabilities = members[0] if len(members) == 1 else np.mean(members, axis=0)
        if self.crf:
            probabilities = refine(probabilities, frame.rgb(), background=background)
        class_map = class_map_of(probabilities, self.label_map)
        labels = None
        if self.label_map.multilabel:
            bits = np.uint8(1) << np.arange(len(probabilities), dtype=np.uint8)
            labels = ((probabilities > 0.5) * bits[:, None, None]).sum(0, dtype=np.uint8)
        return Prediction(frame, class_map, probabilities if self.keep_probabilities else None, labels)


def class_map_of(probabilities: np.ndarray, label_map: LabelMap) -> np.ndarray:
    """(C, H, W) float32 probabilities to (H, W) uint8 train ids.

    One of many: the most probable, the first of equals. Several of many: the most probable class above a half, the
    background where there is none.
    """
    best = np.zeros(probabilities.shape[1:], np.uint8)
    highest = probabilities[0].copy()
    for train_id in range(1, len(probabilities)):
        higher = cv2.compare(probabilities[train_id], highest, cv2.CMP_GT)
        best[higher > 0] = train_id
        np.maximum(highest, probabilities[train_id], out=highest)
    if label_map.multilabel and label_map.background is not None:
        best[highest <= 0.5] = label_map.background
    return best
