"""What members say at a sample of a dataset's pixels: all that a way of combining them is fitted to."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lanecli.data.manifest import Sample
from lanecli.errors import InputError
from lanecli.inference.combiners import Combined
from lanecli.inference.combiners.mean import WeightedSum
from lanecli.inference.member import MemberAnswer
from lanecli.inference.predictor import Predictor
from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.media import Frame, read_mask, read_picture

PIXELS = 1 << 18
"""Pixels looked at, at most: the standard error of their mean log-likelihood is then some 0.2 % of its spread."""
MOST_BYTES = 256 << 20
"""Of what is kept of them."""
Inputs = Callable[[np.ndarray], np.ndarray]
"""One learner's (K, H, W) planes to the (F, H, W) values kept of them."""


@dataclass(frozen=True)
class PixelSample:
    """Values at n pixels.

    Attributes:
        values: (learners, F, n) float32: what is kept of each learner's answer.
        shown: (P, n) float32: what is kept of the picture; P may be 0.
        truth: (n,) uint8 train ids, or bits of several labels; none is ignored.
        pictures: (n,) int32 number of the picture each pixel is of.
    """

    values: np.ndarray
    shown: np.ndarray
    truth: np.ndarray
    pictures: np.ndarray

    def only(self, kept: np.ndarray) -> PixelSample:
        """The pixels where `kept`, (n,) bool, holds."""
        return PixelSample(self.values[..., kept], self.shown[:, kept], self.truth[kept], self.pictures[kept])


class Gathering:
    """A combination rule that keeps what learners say at some places of a frame; its own answer is their plain mean.

    Attributes:
        places: flat numbers of the pixels to keep of the next frame.
        found: of the last frame, an (F, places) array a learner.
    """

    needs = frozenset({"planes"})

    def __init__(self, inputs: Inputs) -> None:
        """Args: inputs: what is kept of a learner's planes."""
        self.inputs = inputs
        self.places = np.zeros(0, np.int64)
        self.found: list[np.ndarray] = []

    def begin(self, label_map: LabelMap) -> GatheringFold:
        """Start on a frame."""
        self.found = []
        return GatheringFold(self)


class GatheringFold:
    """One frame of :class:`Gathering`; members of one learner come one after the other."""

    def __init__(self, rule: Gathering) -> None:
        """Args: rule: whose places are kept, and that is told what is found there."""
        self._rule = rule
        self._learner = -1
        self._mean, self._total = WeightedSum(), 0.0
        self._all = WeightedSum()

    def add(self, answer: MemberAnswer) -> None:
        """Take one in."""
        if answer.member.learner != self._learner:
            self._close()
            self._learner = answer.member.learner
        self._mean.add(answer.planes(), answer.weight)
        self._total += answer.weight

    def _close(self) -> None:
        if not self._total:
            return
        planes = self._mean.value / np.float32(self._total)
        values = self._rule.inputs(planes)
        self._rule.found.append(values.reshape(len(values), -1)[:, self._rule.places])
        self._all.add(planes, 1.0)
        self._mean, self._total = WeightedSum(), 0.0

    def result(self) -> Combined:
        """The mean of the learners."""
        self._close()
        return Combined(self._all.value / np.float32(len(self._rule.found)))


def asking(predictor: Predictor, inputs: Inputs) -> Callable[[Frame, np.ndarray], list[np.ndarray]]:
    """What learners say at places of a frame, by asking the models of an open predictor, which stays as it is."""
    rule = Gathering(inputs)
    asked = copy.copy(predictor)
    asked.combiner, asked.measures, asked.steps, asked.keep = rule, [], [], frozenset()
    count = len({member.learner for member in asked.members})
    share = 1 / len(asked.members)
    asked.members = [replace(member, weight=share) for member in asked.members]

    def answer(frame: Frame, places: np.ndarray) -> list[np.ndarray]:
        rule.places = places
        asked.predict(frame)
        assert len(rule.found) == count
        return rule.found

    return answer


def gather(
    samples: Sequence[Sample],
    answer: Callable[[Frame, np.ndarray, int], list[np.ndarray]],
    *,
    shown: Callable[[np.ndarray], np.ndarray] | None = None,
    values: int,
    seed: int = 0,
    pixels: int = PIXELS,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> PixelSample:
    """Look at every picture once and keep an even share of `pixels` of it, drawn among those that are labelled.

    Args:
        samples: pictures and masks.
        answer: a frame, flat numbers of its pixels and the picture's number to an (F, n) array a learner.
        shown: (H, W, 3) uint8 RGB to the (P, H, W) values kept of the picture itself; None for none.
        values: how many values are kept of a pixel, of all learners and the picture.
        seed: of the draw; the same seed draws the same pixels.
        pixels: at most so many, and no more than `MOST_BYTES` hold.
        progress: told how many pictures of how many are done.

    Raises:
        InputError: a mask is of another size than its picture, or no pixel is labelled.
    """
    each = max(1, min(pixels, MOST_BYTES // (4 * values)) // len(samples))
    answers, colours, truths, numbers = [], [], [], []
    for number, sample in enumerate(samples):
        rgb, mask = read_picture(sample.image), read_mask(sample.mask)
        if rgb.shape[:2] != mask.shape:
            raise InputError(f"{sample.mask}: the mask is {mask.shape[::-1]}, its picture {rgb.shape[1::-1]}")
        places = np.flatnonzero(mask.ravel() != IGNORE_ID)
        if len(places) > each:
            places = np.sort(np.random.default_rng([seed, number]).choice(places, each, replace=False))
        if len(places):
            answers.append(np.stack(answer(Frame.from_rgb(rgb), places, number)))
            if shown is not None:
                found = shown(rgb)
                colours.append(found.reshape(len(found), -1)[:, places])
            truths.append(mask.ravel()[places])
            numbers.append(np.full(len(places), number, np.int32))
        progress(number + 1, len(samples))
    if not answers:
        raise InputError("there is no labelled pixel to fit on")
    truth = np.concatenate(truths)
    return PixelSample(
        np.concatenate(answers, -1),
        np.concatenate(colours, -1) if colours else np.zeros((0, len(truth)), np.float32),
        truth,
        np.concatenate(numbers),
    )
