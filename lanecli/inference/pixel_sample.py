"""Samples the members' answers at some of a dataset's pixels, to which a combination rule is fitted."""

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
"""Largest sample, in pixels: the standard error of its mean log-likelihood is some 0.2 % of the spread."""
MOST_BYTES = 256 << 20
"""Most bytes kept of the sample."""
Inputs = Callable[[np.ndarray], np.ndarray]
"""Maps one learner's (K, H, W) planes to the (F, H, W) values that are kept."""


@dataclass(frozen=True)
class PixelSample:
    """Values at n pixels.

    Attributes:
        values: (learners, F, n) float32: the values kept of each learner's answer.
        shown: (P, n) float32: the values kept of the picture; P may be 0.
        truth: (n,) uint8 train ids, or label bits; none is ignored.
        pictures: (n,) int32 number of the picture each pixel belongs to.
    """

    values: np.ndarray
    shown: np.ndarray
    truth: np.ndarray
    pictures: np.ndarray

    def only(self, kept: np.ndarray) -> PixelSample:
        """Return the pixels where `kept`, (n,) bool, holds."""
        return PixelSample(self.values[..., kept], self.shown[:, kept], self.truth[kept], self.pictures[kept])


class PixelGatherer:
    """A combination rule that keeps the learners' answers at some pixels; its own answer is their plain mean.

    Attributes:
        indices: flat indices of the pixels to keep of the next frame.
        kept: the values of the last frame, an (F, pixels) array per learner.
    """

    needs = frozenset({"planes"})

    def __init__(self, inputs: Inputs) -> None:
        """Set up.

        Args:
            inputs: selects the values to keep of a learner's planes.
        """
        self.inputs = inputs
        self.indices = np.zeros(0, np.int64)
        self.kept: list[np.ndarray] = []

    def begin(self, label_map: LabelMap) -> PixelGathererFold:
        """Start on a frame."""
        self.kept = []
        return PixelGathererFold(self)


class PixelGathererFold:
    """Takes the answers for one frame of :class:`PixelGatherer`; the members of a learner follow one another."""

    def __init__(self, rule: PixelGatherer) -> None:
        """Start on a frame.

        Args:
            rule: says which pixels to keep, and receives their values.
        """
        self._rule = rule
        self._learner = -1
        self._mean, self._total = WeightedSum(), 0.0
        self._all = WeightedSum()

    def add(self, answer: MemberAnswer) -> None:
        """Add an answer."""
        if answer.member.learner != self._learner:
            self._finish_learner()
            self._learner = answer.member.learner
        self._mean.add(answer.planes(), answer.weight)
        self._total += answer.weight

    def _finish_learner(self) -> None:
        if not self._total:
            return
        planes = self._mean.value / np.float32(self._total)
        values = self._rule.inputs(planes)
        self._rule.kept.append(values.reshape(len(values), -1)[:, self._rule.indices])
        self._all.add(planes, 1.0)
        self._mean, self._total = WeightedSum(), 0.0

    def result(self) -> Combined:
        """Return the mean of the learners."""
        self._finish_learner()
        return Combined(self._all.value / np.float32(len(self._rule.kept)))


def answer_function(predictor: Predictor, inputs: Inputs) -> Callable[[Frame, np.ndarray], list[np.ndarray]]:
    """Return a function from a frame and pixel indices to the learners' answers there.

    It runs the models of an open predictor, which is not changed.
    """
    rule = PixelGatherer(inputs)
    copied = copy.copy(predictor)
    copied.combiner, copied.measures, copied.steps, copied.keep = rule, [], [], frozenset()
    count = len({member.learner for member in copied.members})
    share = 1 / len(copied.members)
    copied.members = [replace(member, weight=share) for member in copied.members]

    def answer(frame: Frame, indices: np.ndarray) -> list[np.ndarray]:
        rule.indices = indices
        copied.predict(frame)
        assert len(rule.kept) == count
        return rule.kept

    return answer


def sample_pixels(
    samples: Sequence[Sample],
    answer: Callable[[Frame, np.ndarray, int], list[np.ndarray]],
    *,
    shown: Callable[[np.ndarray], np.ndarray] | None = None,
    values: int,
    seed: int = 0,
    pixels: int = PIXELS,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> PixelSample:
    """Read every picture once and keep an equal share of `pixels` from each, drawn among its labelled pixels.

    Args:
        samples: pictures and masks.
        answer: maps a frame, flat indices of its pixels and the picture's number to an (F, n) array per learner.
        shown: maps (H, W, 3) uint8 RGB to the (P, H, W) values kept of the picture itself; None to keep none.
        values: number of values kept of a pixel, of all learners and the picture together.
        seed: seed of the draw; the same seed draws the same pixels.
        pixels: most pixels to keep; `MOST_BYTES` limits them too.
        progress: called with the number of finished pictures and their total.

    Raises:
        InputError: a mask has another size than its picture, or no pixel is labelled.
    """
    each = max(1, min(pixels, MOST_BYTES // (4 * values)) // len(samples))
    answers, colours, truths, numbers = [], [], [], []
    for number, sample in enumerate(samples):
        rgb, mask = read_picture(sample.image), read_mask(sample.mask)
        if rgb.shape[:2] != mask.shape:
            raise InputError(f"{sample.mask}: the mask is {mask.shape[::-1]}, but its picture is {rgb.shape[1::-1]}")
        indices = np.flatnonzero(mask.ravel() != IGNORE_ID)
        if len(indices) > each:
            indices = np.sort(np.random.default_rng([seed, number]).choice(indices, each, replace=False))
        if len(indices):
            answers.append(np.stack(answer(Frame.from_rgb(rgb), indices, number)))
            if shown is not None:
                kept = shown(rgb)
                colours.append(kept.reshape(len(kept), -1)[:, indices])
            truths.append(mask.ravel()[indices])
            numbers.append(np.full(len(indices), number, np.int32))
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
