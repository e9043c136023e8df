"""Fits one temperature to a model's logits on held-out pictures.

Guo et al., "On Calibration of Modern Neural Networks", arXiv 1706.04599. Logits are divided by the temperature. It is a
single positive number, so no pixel changes its class.
"""

from __future__ import annotations

import numpy as np

from lanecli.errors import InputError
from lanecli.labels import IGNORE_ID, LabelMap

PIXELS = 1 << 19
"""Largest sample, in pixels: the standard error of its mean log-likelihood is some 0.1 % of the spread."""
SMALLEST, LARGEST = 0.02, 50.0
"""Range of temperatures: if every pixel is right, ever smaller temperatures would fit ever better."""


class LogitSample:
    """Logits and truths of a fixed number of pixels, drawn evenly from all pixels seen (reservoir sampling).

    Vitter, "Random Sampling with a Reservoir", 1985: however many pictures there are, every labelled pixel has the same
    chance to be kept, and memory stays at ``pixels`` logits.

    Attributes:
        seen: number of labelled pixels seen so far.
        capacity: most pixels kept.
    """

    def __init__(self, label_map: LabelMap, pixels: int = PIXELS, seed: int = 0) -> None:
        """Start without a pixel.

        Args:
            label_map: label map of masks and logits.
            pixels: most pixels to keep.
            seed: seed of the draw.
        """
        self._label_map = label_map
        self._rng = np.random.default_rng(seed)
        self._logits = np.zeros((len(label_map.classes), pixels), np.float32)
        self._truth = np.zeros(pixels, np.uint8)
        self.seen, self.capacity = 0, pixels

    def update(self, logits: np.ndarray, mask: np.ndarray) -> None:
        """Add one picture.

        Args:
            logits: (C, H, W) float, not yet divided by a temperature.
            mask: (H, W) uint8 train ids, or label bits; `IGNORE_ID` counts nowhere.
        """
        counted = np.flatnonzero(mask.ravel() != IGNORE_ID)
        capacity = len(self._truth)
        slots = np.arange(self.seen, self.seen + len(counted))
        # the first pixels fill the reservoir; pixel number n then reslots a random one with probability capacity/n
        late = slots >= capacity
        slots[late] = (self._rng.random(late.sum()) * (slots[late] + 1)).astype(np.int64)
        kept = slots < capacity
        taken = counted[kept]
        self._logits[:, slots[kept]] = logits.reshape(len(logits), -1)[:, taken]
        self._truth[slots[kept]] = mask.ravel()[taken]
        self.seen += len(counted)

    def pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (C, n) float64 logits and (n,) uint8 truths; for multi-label maps, each label is two classes.

        Raises:
            InputError: no pixel was seen.
        """
        count = min(self.seen, len(self._truth))
        if not count:
            raise InputError("there is no labelled pixel to calibrate on")
        logits, truth = self._logits[:, :count].astype(np.float64), self._truth[:count]
        if self._label_map.multilabel:
            bits = (truth >> np.arange(len(logits), dtype=np.uint8)[:, None] & 1).astype(np.uint8)
            # a label and its absence are two exclusive classes with logits z and 0
            logits, truth = np.stack([np.zeros(logits.size), logits.ravel()]), bits.ravel()
        return logits, truth

    def fit(self) -> tuple[float, float, float]:
        """Return the best temperature, and the negative log-likelihoods at 1 and at it, in nats per pixel.

        Raises:
            InputError: no pixel was seen.
        """
        logits, truth = self.pixels()
        per_pixel = len(self._label_map.classes) if self._label_map.multilabel else 1
        temperature = fit_temperature(logits, truth)
        before, after = (likelihood(logits, truth, t)[0] * per_pixel for t in (1.0, temperature))
        return temperature, before, after


def likelihood(logits: np.ndarray, truth: np.ndarray, temperature: float) -> tuple[float, float, float]:
    """Return the mean negative log-likelihood of softmax(logits / T), and its first and second derivative by 1 / T.

    With b = 1 / T it is ln sum_c exp(b l_c) - b l_truth, which is convex in b. The first derivative is E[l] - l_truth
    and the second Var[l], under the softmax.

    Args:
        logits: (C, n) float64.
        truth: (n,) uint8 train ids.
        temperature: above 0.
    """
    shifted = logits - logits.max(0)
    scaled = np.exp(shifted / temperature)
    total = scaled.sum(0)
    right = shifted[truth, np.arange(truth.size)]
    mean = (scaled * shifted).sum(0) / total
    spread = (scaled * shifted**2).sum(0) / total - mean**2
    value = np.log(total) - right / temperature
    return float(value.mean()), float((mean - right).mean()), float(spread.mean())


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """Return the temperature between `SMALLEST` and `LARGEST` with the least negative log-likelihood.

    It is found by Newton's method in 1 / T, inside a bracket that is halved where a step would leave it.

    Args:
        logits: (C, n) float64.
        truth: (n,) uint8 train ids.
    """
    low, high = 1 / LARGEST, 1 / SMALLEST
    if likelihood(logits, truth, 1 / high)[1] <= 0:
        return SMALLEST
    if likelihood(logits, truth, 1 / low)[1] >= 0:
        return LARGEST
    inverse = 1.0
    for _ in range(60):
        _, slope, curvature = likelihood(logits, truth, 1 / inverse)
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        step = inverse - slope / curvature if curvature > 0 else -1.0
        following = step if low < step < high else (low + high) / 2
        if abs(following - inverse) <= 1e-9 * inverse:
            break
        inverse = following
    return 1 / inverse
