"""Finds the weights of a mean of probabilities on held-out pixels: weights from 0 up that sum to one."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from lanecli.labels import LabelMap

_GAP = 1e-9
"""How far the mean log-likelihood may be below the best one, in nats per pixel."""
_ROUNDS = 20_000
_LEAST = 1e-12
"""Probability that stands for 0, so that a logarithm is finite."""
_STEPS = (1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64)


def likelihoods(planes: np.ndarray, truth: np.ndarray, label_map: LabelMap) -> np.ndarray:
    """Return the probability each member gave to the truth, (M, N) float64.

    Args:
        planes: (M, K, n) float32, one plane for each of `LabelMap.plane_classes`.
        truth: (n,) uint8 train ids, or label bits.
        label_map: the classes.

    Returns:
        N is n, or K n for multi-label maps: one observation per label.
    """
    if not label_map.bernoulli:
        probabilities = planes[:, truth, np.arange(truth.size)]
    else:
        if label_map.multilabel:
            holds = truth >> np.arange(planes.shape[1], dtype=np.uint8)[:, None] & 1
        else:
            holds = truth[None]
        probabilities = np.where(holds == 1, planes, 1 - planes).reshape(len(planes), -1)
    return np.maximum(probabilities.astype(np.float64), _LEAST)


def negative_log_likelihood(likelihood: np.ndarray, weights: np.ndarray) -> float:
    """Return the mean of -ln sum_m w_m p_m, in nats per observation, for likelihoods (M, N)."""
    return float(-np.log(weights @ likelihood).mean())


def most_likely_weights(likelihood: np.ndarray) -> np.ndarray:
    """Return the (M,) float64 weights with the least negative log-likelihood.

    Expectation maximisation (Dempster, Laird and Rubin 1977) for the weights of a mixture: w_m becomes the mean of
    w_m p_m / sum_k w_k p_k. The problem is convex, and the largest mean of p_m / sum_k w_k p_k, minus one, bounds what
    can still be gained, which says when to stop. Two such steps are extrapolated by a longer one, as long as it
    improves the likelihood (Varadhan and Roland 2008, 10.1111/j.1467-9469.2007.00585.x). Members it gives no weight
    stay without, unless the bound shows that they would help.

    Args:
        likelihood: (M, N) float64 above 0.
    """
    count = len(likelihood)
    weights = np.full(count, 1 / count)
    if count == 1:
        return weights
    for _ in range(_ROUNDS):
        gains = _gains(likelihood, weights)
        if gains.max() - 1 <= _GAP:
            break
        once = weights * gains
        twice = once * _gains(likelihood, once)
        weights = _further(likelihood, weights, once, twice)
        # a weight of 0 cannot grow: it is made positive again if that would help
        wanted = (weights <= 0) & (_gains(likelihood, weights) > 1 + _GAP)
        if wanted.any():
            weights = np.where(wanted, 1e-3, weights)
            weights /= weights.sum()
    return weights


def _gains(likelihood: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return how the log-likelihood grows with each weight, (M,): at the optimum 1 for positive ones, else <= 1."""
    return (likelihood / (weights @ likelihood)).mean(1)


def _further(likelihood: np.ndarray, start: np.ndarray, once: np.ndarray, twice: np.ndarray) -> np.ndarray:
    """Return weights at least as likely as `twice`, extrapolated from the two steps."""
    first, bend = once - start, twice - 2 * once + start
    length = float(np.linalg.norm(first) / max(float(np.linalg.norm(bend)), 1e-300))
    best, value = twice, negative_log_likelihood(likelihood, twice)
    for stretch in (length, 4 * length):
        far = np.maximum(start + 2 * stretch * first + stretch**2 * bend, 0)
        if stretch > 1 and np.isfinite(far).all() and far.sum() > 0:
            far /= far.sum()
            if (tried := negative_log_likelihood(likelihood, far)) < value:
                best, value = far, tried
    # a member with hardly any weight is removed at once: its weight would otherwise shrink for ever
    for number in np.flatnonzero((best > 0) & (best < 1e-2)):
        without = np.where(np.arange(len(best)) == number, 0, best)
        if without.sum() > 0 and (tried := negative_log_likelihood(likelihood, without / without.sum())) <= value:
            best, value = without / without.sum(), tried
    return best


def foreground_iou(planes: np.ndarray, weights: np.ndarray, truth: np.ndarray, label_map: LabelMap) -> float:
    """Return the mean IoU of the weighted mean's classes at n pixels, over foreground classes that occur."""
    mean = np.tensordot(weights.astype(np.float32), planes, 1)
    if label_map.multilabel:
        bits = truth >> np.arange(len(mean), dtype=np.uint8)[:, None] & 1
        pairs = [(mean[k] > 0.5, bits[k] == 1) for k in range(len(mean)) if k != label_map.background]
    else:
        answer = (mean[0] > 0.5).astype(np.uint8) if label_map.bernoulli else mean.argmax(0)
        pairs = [(answer == k, truth == k) for k in range(len(label_map.classes)) if k != label_map.background]
    scores = [(one & other).sum() / union for one, other in pairs if (union := (one | other).sum())]
    return float(np.mean(scores)) if scores else 0.0


def best_iou_weights(planes: np.ndarray, truth: np.ndarray, label_map: LabelMap, start: np.ndarray) -> np.ndarray:
    """Return (M,) weights with a high :func:`foreground_iou`.

    The search starts from the best of `start`, equal weights and each member alone. It then moves weight from member to
    member, in steps from a quarter down to a sixty-fourth, for as long as that helps. IoU has steps and no slope, so
    this is a search and need not find the best weights.
    """
    count = len(planes)

    def score(weights: np.ndarray) -> float:
        return foreground_iou(planes, weights, truth, label_map)

    starts = [start, np.full(count, 1 / count), *np.eye(count)]
    values = [score(weights) for weights in starts]
    best, value = starts[int(np.argmax(values))], max(values)
    for step in _STEPS:
        moved = True
        while moved:
            moved = False
            for giver, taker in permutations(range(count), 2):
                amount = min(step, best[giver])
                if amount <= 0:
                    continue
                tried = best.copy()
                tried[giver] -= amount
                tried[taker] += amount
                if (improved := score(tried)) > value:
                    best, value, moved = tried, improved, True
    return best
