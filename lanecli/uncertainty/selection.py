"""Chooses the frames to label next: the most doubtful ones, spread out so that no two are alike."""

from __future__ import annotations

import numpy as np

SCORES = ("mean", "tail", "peak")
SPREADS = ("greedy", "clusters", "none")
TAIL = 0.05
"""Share of a frame's pixels, the most doubtful ones, that the score ``tail`` averages over."""


def frame_scores(uncertainty: np.ndarray) -> dict[str, float]:
    """Return how doubtful a frame is, by each of :data:`SCORES`.

    Args:
        uncertainty: (H, W) float, high where uncertain.

    Returns:
        ``mean`` over all pixels; ``tail`` over the most doubtful twentieth, so that the background cannot hide a small
        object; ``peak``, the 99.9th percentile.
    """
    flat = uncertainty.ravel()
    count = max(1, round(TAIL * flat.size))
    tail = np.partition(flat, flat.size - count)[flat.size - count :]
    return {
        "mean": float(flat.mean(dtype=np.float64)),
        "tail": float(tail.mean(dtype=np.float64)),
        "peak": float(np.percentile(tail, 100 * (1 - 0.001 / TAIL))),
    }


def describe_frame(features: np.ndarray) -> np.ndarray:
    """Describe a frame: mean and standard deviation of each feature channel on the left, in the middle, on the right.

    Args:
        features: (D, h, w) float.

    Returns:
        (6 D,) float32.
    """
    parts = [part.reshape(len(part), -1) for part in np.array_split(features, 3, axis=2) if part.size]
    return np.concatenate([stat(part, 1) for part in parts for stat in (np.mean, np.std)]).astype(np.float32)


def choose_frames(scores: np.ndarray, descriptions: np.ndarray, count: int, spread: str = "greedy") -> list[int]:
    """Return the indices of the frames to label, the one most worth it first.

    Args:
        scores: (n,) how doubtful each frame is.
        descriptions: (n, d) a description of each frame's features; every dimension has the same weight.
        count: how many to choose; all frames if there are fewer.
        spread: ``greedy`` takes the most doubtful frame, then again and again the one with the largest product of
            uncertainty (its rank, 0 to 1) and distance to the nearest chosen one (k-center greedy of Sener and
            Savarese, arXiv 1708.00489, weighted by uncertainty); ``clusters`` divides the frames into `count` clusters
            and takes the most doubtful frame of each; ``none`` takes the most doubtful frames, however alike they are.

    Raises:
        ValueError: there is no such rule.
    """
    number = len(scores)
    count = min(count, number)
    order = np.argsort(-scores, kind="stable")
    if spread == "none" or count == number:
        return [int(i) for i in order[:count]]
    points = (descriptions - descriptions.mean(0)) / np.maximum(descriptions.std(0), 1e-9)
    if spread == "clusters":
        return _best_of_clusters(scores, points, order, count)
    if spread != "greedy":
        raise ValueError(f"there is no spread '{spread}'")
    ranks = np.empty(number)
    ranks[order] = np.linspace(1, 0, number) if number > 1 else 1.0
    chosen = [int(order[0])]
    distance = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < count:
        gain = ranks * distance
        gain[chosen] = -1.0
        following = int(gain.argmax())
        chosen.append(following)
        distance = np.minimum(distance, np.linalg.norm(points - points[following], axis=1))
    return chosen


def _best_of_clusters(scores: np.ndarray, points: np.ndarray, order: np.ndarray, count: int) -> list[int]:
    """Run k-means from the greedy k-centers and return the most doubtful frame of each cluster."""
    centers = [int(order[0])]
    distance = np.linalg.norm(points - points[centers[0]], axis=1)
    while len(centers) < count:
        centers.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[centers[-1]], axis=1))
    means = points[centers]
    nearest = np.zeros(len(points), int)
    for _ in range(25):
        gaps = ((points**2).sum(1)[:, None] - 2 * points @ means.T) + (means**2).sum(1)
        nearest = gaps.argmin(1)
        moved = np.stack([points[nearest == k].mean(0) if (nearest == k).any() else means[k] for k in range(count)])
        if np.array_equal(moved, means):
            break
        means = moved
    best = [
        int(max(np.flatnonzero(nearest == k), key=lambda i: scores[i])) for k in range(count) if (nearest == k).any()
    ]
    rest = [int(i) for i in order if i not in best][: count - len(best)]  # clusters can be empty if frames are equal
    return sorted(best + rest, key=lambda i: -scores[i])
