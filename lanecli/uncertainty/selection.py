"""Which frames to label next: the most doubtful ones, spread out so that no two say the same."""

from __future__ import annotations

import numpy as np

SCORES = ("mean", "tail", "peak")
SPREADS = ("greedy", "clusters", "none")
TAIL = 0.05
"""The share of a frame's pixels, the most doubtful ones, that the score ``tail`` averages over."""


def frame_scores(doubt: np.ndarray) -> dict[str, float]:
    """How doubtful a frame is, by each of :data:`SCORES`.

    Args:
        doubt: (H, W) float, high where uncertain.

    Returns:
        ``mean`` over all pixels; ``tail``, over the most doubtful twentieth, which a small object cannot drown in the
        background; ``peak``, the 99.9th percentile.
    """
    flat = doubt.ravel()
    count = max(1, round(TAIL * flat.size))
    tail = np.partition(flat, flat.size - count)[flat.size - count :]
    return {
        "mean": float(flat.mean(dtype=np.float64)),
        "tail": float(tail.mean(dtype=np.float64)),
        "peak": float(np.percentile(tail, 100 * (1 - 0.001 / TAIL))),
    }


def describe(features: np.ndarray) -> np.ndarray:
    """A frame in a few numbers: mean and standard deviation of each feature channel, left, middle and right.

    Args:
        features: (D, h, w) float.

    Returns:
        (6 D,) float32.
    """
    parts = [part.reshape(len(part), -1) for part in np.array_split(features, 3, axis=2) if part.size]
    return np.concatenate([stat(part, 1) for part in parts for stat in (np.mean, np.std)]).astype(np.float32)


def choose(scores: np.ndarray, descriptions: np.ndarray, count: int, spread: str = "greedy") -> list[int]:
    """The frames to label, the first most worth it.

    Args:
        scores: (n,) how doubtful each frame is.
        descriptions: (n, d) a frame's features; each dimension counts alike.
        count: how many to choose; all where there are fewer.
        spread: ``greedy`` takes the most doubtful frame, then again and again the one whose doubt (its rank, 0 to 1)
            times its distance to the nearest one taken is largest (k-center greedy of Sener and Savarese, arXiv
            1708.00489, weighed by doubt); ``clusters`` parts the frames into `count` groups of alike ones and takes the
            most doubtful of each; ``none`` the most doubtful, however alike.

    Raises:
        ValueError: there is no such rule.
    """
    number = len(scores)
    count = min(count, number)
    order = np.argsort(-scores, kind="stable")
    if spread == "none" or count == number:
        return [int(i) for i in order[:count]]
    places = (descriptions - descriptions.mean(0)) / np.maximum(descriptions.std(0), 1e-9)
    if spread == "clusters":
        return _best_of_clusters(scores, places, order, count)
    if spread != "greedy":
        raise ValueError(f"no rule '{spread}'")
    ranks = np.empty(number)
    ranks[order] = np.linspace(1, 0, number) if number > 1 else 1.0
    chosen = [int(order[0])]
    distance = np.linalg.norm(places - places[chosen[0]], axis=1)
    while len(chosen) < count:
        gain = ranks * distance
        gain[chosen] = -1.0
        following = int(gain.argmax())
        chosen.append(following)
        distance = np.minimum(distance, np.linalg.norm(places - places[following], axis=1))
    return chosen


def _best_of_clusters(scores: np.ndarray, places: np.ndarray, order: np.ndarray, count: int) -> list[int]:
    """k-means from the greedy k-centers, then the most doubtful frame of each cluster."""
    centers = [int(order[0])]
    distance = np.linalg.norm(places - places[centers[0]], axis=1)
    while len(centers) < count:
        centers.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(places - places[centers[-1]], axis=1))
    means = places[centers]
    nearest = np.zeros(len(places), int)
    for _ in range(25):
        gaps = ((places**2).sum(1)[:, None] - 2 * places @ means.T) + (means**2).sum(1)
        nearest = gaps.argmin(1)
        moved = np.stack([places[nearest == k].mean(0) if (nearest == k).any() else means[k] for k in range(count)])
        if np.array_equal(moved, means):
            break
        means = moved
    best = [
        int(max(np.flatnonzero(nearest == k), key=lambda i: scores[i])) for k in range(count) if (nearest == k).any()
    ]
    rest = [int(i) for i in order if i not in best][: count - len(best)]  # of frames all alike, clusters stay empty
    return sorted(best + rest, key=lambda i: -scores[i])
