"""Weights of a mean of probabilities, found on held-out pixels: non-negative, summing to one."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from lanecli.labels import LabelMap

_GAP = 1e-9
"""Nats a pixel that the likelihood may be short of the best there is."""
_ROUNDS = 20_000
_LEAST = 1e-12
"""Probability: what a member calls impossible counts as this."""
_STEPS = (1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64)


def likelihoods(planes: np.ndarray, truth: np.ndarray, label_map: LabelMap) -> np.ndarray:
    """(M, N) float64: the probability each member gave to what is there.

    Args:
        planes: (M, K, n) float32, one plane for each of `LabelMap.plane_classes`.
        truth: (n,) uint8 train ids, or bits of several labels.
        label_map: the classes.

    Returns:
        N is n; where several labels may hold, K n: one observation a label.
    """
    if not label_map.bernoulli:
        found = planes[:, truth, np.arange(truth.size)]
    else:
        if label_map.multilabel:
            holds = truth >> np.arange(planes.shape[1], dtype=np.uint8)[:, None] & 1
        else:
            holds = truth[None]
        found = np.where(holds == 1, planes, 1 - planes).reshape(len(planes), -1)
    return np.maximum(found.astype(np.float64), _LEAST)


def negative_log_likelihood(given: np.ndarray, weights: np.ndarray) -> float:
    """Mean of -ln sum_m w_m p_m, in nats an observation; `given` is (M, N)."""
    return float(-np.log(weights @ given).mean())


def most_likely(given: np.ndarray) -> np.ndarray:
    """(M,) float64 weights with the least negative log-likelihood.

    Expectation maximisation (Dempster, Laird and Rubin 1977) for the weights of a mixture: w_m becomes the mean of
    w_m p_m / sum_k w_k p_k. The problem is convex, and the largest mean of p_m / sum_k w_k p_k less one bounds what is
    still to be gained, which says when to stop. Two steps show where they lead, and a longer one is taken as far as
    that way holds (Varadhan and Roland 2008, 10.1111/j.1467-9469.2007.00585.x); members that it leaves out stay out
    unless the bound speaks against it.

    Args:
        given: (M, N) float64 above 0.
    """
    count = len(given)
    weights = np.full(count, 1 / count)
    if count == 1:
        return weights
    for _ in range(_ROUNDS):
        gains = _gains(given, weights)
        if gains.max() - 1 <= _GAP:
            break
        once = weights * gains
        twice = once * _gains(given, once)
        weights = _further(given, weights, once, twice)
        # one that is not there cannot grow: it comes back where it would help
        wanted = (weights <= 0) & (_gains(given, weights) > 1 + _GAP)
        if wanted.any():
            weights = np.where(wanted, 1e-3, weights)
            weights /= weights.sum()
    return weights


def _gains(given: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(M,): how the log-likelihood grows with each weight; at the best weights 1 where one is used, else at most 1."""
    return (given / (weights @ given)).mean(1)


def _further(given: np.ndarray, start: np.ndarray, once: np.ndarray, twice: np.ndarray) -> np.ndarray:
    """Weights at least as likely as `twice`, further along where the steps lead."""
    first, bend = once - start, twice - 2 * once + start
    length = float(np.linalg.norm(first) / max(float(np.linalg.norm(bend)), 1e-300))
    best, value = twice, negative_log_likelihood(given, twice)
    for stretch in (length, 4 * length):
        far = np.maximum(start + 2 * stretch * first + stretch**2 * bend, 0)
        if stretch > 1 and np.isfinite(far).all() and far.sum() > 0:
            far /= far.sum()
            if (found := negative_log_likelihood(given, far)) < value:
                best, value = far, found
    # a member at the edge is taken out at once: alone, its weight would shrink for ever
    for number in np.flatnonzero((best > 0) & (best < 1e-2)):
        without = np.where(np.arange(len(best)) == number, 0, best)
        if without.sum() > 0 and (found := negative_log_likelihood(given, without / without.sum())) <= value:
            best, value = without / without.sum(), found
    return best


def foreground_iou(planes: np.ndarray, weights: np.ndarray, truth: np.ndarray, label_map: LabelMap) -> float:
    """Mean IoU, over classes that are not background and occur, of the weighted mean's classes at n pixels."""
    mean = np.tensordot(weights.astype(np.float32), planes, 1)
    if label_map.multilabel:
        bits = truth >> np.arange(len(mean), dtype=np.uint8)[:, None] & 1
        pairs = [(mean[k] > 0.5, bits[k] == 1) for k in range(len(mean)) if k != label_map.background]
    else:
        answer = (mean[0] > 0.5).astype(np.uint8) if label_map.bernoulli else mean.argmax(0)
        pairs = [(answer == k, truth == k) for k in range(len(label_map.classes)) if k != label_map.background]
    scores = [(one & other).sum() / union for one, other in pairs if (union := (one | other).sum())]
    return float(np.mean(scores)) if scores else 0.0


def best_iou(planes: np.ndarray, truth: np.ndarray, label_map: LabelMap, start: np.ndarray) -> np.ndarray:
    """(M,) weights with a high :func:`foreground_iou`: the best of `start`, equal ones and each member alone, then
    moved from member to member in steps of a quarter down to a sixty-fourth for as long as that helps.

    IoU has steps and no slope: this is a search and not the best there is.
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
                if (found := score(tried)) > value:
                    best, value, moved = tried, found, True
    return best
