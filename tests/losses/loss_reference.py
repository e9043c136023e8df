"""Every loss again in float64 NumPy, straight from its formula, with none of the package's code."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Case:
    """A batch and how it is to be read."""

    logits: np.ndarray
    target: np.ndarray
    mode: str
    ignore_id: int = 255
    background: int | None = 0
    teacher: np.ndarray | None = None
    args: dict[str, Any] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        return 2 if self.mode == "binary" else self.logits.shape[1]


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max())
    return e / e.sum()


def log_softmax(z: np.ndarray) -> np.ndarray:
    return z - z.max() - math.log(np.exp(z - z.max()).sum())


def log_sigmoid(z: float) -> float:
    return -math.log1p(math.exp(-z)) if z > 0 else z - math.log1p(math.exp(z))


@dataclass
class Label:
    """One label that counts: where it is, -log p of it, is it foreground, its class weight's index."""

    place: tuple[int, int, int, int]
    nll: float
    foreground: bool
    weight_index: int
    surprises: list[float]  # -log p of every answer there was
    surprise_index: list[int]


def labels(case: Case, one_vs_rest: bool = False) -> list[Label]:
    found = []
    n, channels, height, width = case.logits.shape
    for i in range(n):
        for y in range(height):
            for x in range(width):
                z = case.logits[i, :, y, x]
                if case.mode == "multiclass" and not one_vs_rest:
                    t = int(case.target[i, y, x])
                    if t == case.ignore_id:
                        continue
                    surprise = [-float(v) for v in log_softmax(z)]
                    found.append(
                        Label((i, 0, y, x), surprise[t], t != case.background, t, surprise, list(range(channels)))
                    )
                    continue
                for c in range(channels):
                    t = int(case.target[i, c, y, x] if case.mode == "multilabel" else case.target[i, y, x])
                    if t == case.ignore_id:
                        continue
                    if case.mode == "multiclass":
                        t = int(t == c)
                    no, yes = -log_sigmoid(-float(z[c])), -log_sigmoid(float(z[c]))
                    index = t if case.mode == "binary" else c
                    found.append(Label((i, c, y, x), yes if t else no, t == 1, index, [no, yes], [index, index]))
    return found


def mean(values: list[float], weights: list[float] | None = None) -> float:
    weights = [1.0] * len(values) if weights is None else weights
    total = sum(weights)
    return sum(v * w for v, w in zip(values, weights, strict=True)) / total if total else 0.0


def of_class(case: Case, found: list[Label]) -> list[float]:
    given = case.args.get("class_weights")
    return [1.0 if given is None else given[label.weight_index] for label in found]


def nll(case: Case) -> float:
    values = [label.nll for label in labels(case)]
    return sum(values) if case.args.get("reduction") == "sum" else mean(values)


def ce(case: Case, one_vs_rest: bool = False) -> float:
    found = labels(case, one_vs_rest)
    given, s = case.args.get("class_weights"), case.args.get("label_smoothing", 0.0)
    weights = of_class(case, found)
    total = 0.0
    for label, w in zip(found, weights, strict=True):
        answers = len(label.surprises)
        softmax_weights = case.mode == "multiclass" and not one_vs_rest and given is not None
        even = sum(
            value * (given[k] if softmax_weights else w)
            for value, k in zip(label.surprises, label.surprise_index, strict=True)
        )
        total += (1 - s) * w * label.nll + s / answers * even
    return total / sum(weights) if sum(weights) else 0.0


def bce(case: Case) -> float:
    return ce(case, one_vs_rest=True)


def weighted_ce(case: Case) -> float:
    beta = case.args.get("beta", 10.0)
    return mean([label.nll * (beta if label.foreground else 1) for label in labels(case)])


def balanced_ce(case: Case) -> float:
    found = labels(case)
    values = []
    for label in found:
        peers = [other for other in found if other.place[1] == label.place[1]]
        beta = case.args.get("beta")
        if beta is None:
            beta = sum(not other.foreground for other in peers) / len(peers)
        values.append(label.nll * (beta if label.foreground else 1 - beta))
    return mean(values)


def focal(case: Case) -> float:
    found = labels(case)
    gamma, alpha = case.args.get("gamma", 2.0), case.args.get("alpha")
    values = []
    for label in found:
        value = (1 - math.exp(-label.nll)) ** gamma * label.nll
        if alpha is not None:
            value *= alpha if label.foreground else 1 - alpha
        values.append(value)
    return mean(values, of_class(case, found))


def ohem(case: Case) -> float:
    found = labels(case)
    if not found:
        return 0.0
    order = np.argsort([-label.nll for label in found], kind="stable")
    threshold = case.args.get("threshold", 0.7)
    hard = sum(math.exp(-label.nll) < threshold for label in found)
    kept = max(hard, math.ceil(case.args.get("min_kept", 1 / 16) * len(found)))
    weights = of_class(case, found)
    return mean([found[k].nll for k in order[:kept]], [weights[k] for k in order[:kept]])


def boundary(case: Case) -> float:
    found = labels(case)
    strength, sigma = case.args.get("strength", 10.0), case.args.get("sigma", 2.0)
    planes = case.target[:, None] if case.target.ndim == 3 else case.target
    n, channels, height, width = planes.shape
    borders: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for i in range(n):
        for c in range(channels):
            plane = planes[i, c]
            borders[i, c] = [
                (y, x)
                for y in range(height)
                for x in range(width)
                for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))
                if 0 <= y + dy < height
                and 0 <= x + dx < width
                and plane[y, x] != plane[y + dy, x + dx]
                and case.ignore_id not in (plane[y, x], plane[y + dy, x + dx])
            ]
    weights = []
    for label, w in zip(found, of_class(case, found), strict=True):
        i, c, y, x = label.place
        near = min(((y - v) ** 2 + (x - u) ** 2 for v, u in borders[i, c]), default=10**9)
        extra = math.exp(-near / (2 * sigma**2)) if math.sqrt(near) <= 3 * sigma else 0
        weights.append(w * (1 + strength * extra))
    return mean([label.nll for label in found], weights)


def kl(case: Case) -> float:
    assert case.teacher is not None
    t = case.args.get("temperature", 1.0)
    values = []
    for label in labels(case):
        i, c, y, x = label.place
        if case.mode == "multiclass":
            p, q = softmax(case.teacher[i, :, y, x] / t), softmax(case.logits[i, :, y, x] / t)
        else:
            p, q = (softmax(np.array([0.0, z[i, c, y, x] / t])) for z in (case.teacher, case.logits))
        values.append(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0))
    return mean(values) * t * t


def regions(case: Case) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """(class, p, t) of each region the mean is over; ignored pixels are not in it."""
    n, channels, _, _ = case.logits.shape
    chosen = case.args.get("classes", "foreground")
    if chosen == "all":
        chosen = list(range(channels))
    elif chosen == "foreground":
        chosen = [c for c in range(channels) if case.mode != "multiclass" or c != case.background]
    found = []
    groups = [[i] for i in range(n)] if case.args.get("per_image") else [list(range(n))]
    for group in groups:
        for c in chosen:
            p, t = [], []
            for i in group:
                for y, x in np.ndindex(*case.logits.shape[2:]):
                    z = case.logits[i, :, y, x]
                    truth = int(case.target[i, c, y, x] if case.mode == "multilabel" else case.target[i, y, x])
                    if truth == case.ignore_id:
                        continue
                    p.append(softmax(z)[c] if case.mode == "multiclass" else math.exp(log_sigmoid(float(z[c]))))
                    t.append(truth == c if case.mode == "multiclass" else truth == 1)
            found.append((c, np.array(p, np.float64), np.array(t, np.float64)))
    return found


def over_regions(case: Case, value: Any, defined: Any) -> float:
    kept = [r for r in regions(case) if defined(r[2])]
    given = case.args.get("class_weights")
    return mean([value(p, t) for _, p, t in kept], [1.0 if given is None else given[c] for c, _, _ in kept])


def overlap(case: Case, ratio: Any) -> float:
    counted = case.args.get("absent") == "count"
    return over_regions(case, lambda p, t: 1 - ratio(p, t), lambda t: counted or t.any())


def dice(case: Case) -> float:
    s = case.args.get("smooth", 0.0)
    return overlap(case, lambda p, t: (2 * (p * t).sum() + s) / (p.sum() + t.sum() + s))


def dice_squared(case: Case) -> float:
    s = case.args.get("smooth", 0.0)
    return overlap(case, lambda p, t: (2 * (p * t).sum() + s) / ((p**2).sum() + (t**2).sum() + s))


def jaccard(case: Case) -> float:
    s = case.args.get("smooth", 0.0)
    return overlap(case, lambda p, t: ((p * t).sum() + s) / ((p + t - p * t).sum() + s))


def tversky(case: Case, power: float = 1.0) -> float:
    s, alpha, beta = (case.args.get(k, d) for k, d in (("smooth", 0.0), ("alpha", None), ("beta", None)))
    if beta is None:
        beta = 0.7 if alpha is None else 1 - alpha
    if alpha is None:
        alpha = 1 - beta

    def ratio(p: np.ndarray, t: np.ndarray) -> float:
        tp, fp, fn = (p * t).sum(), (p * (1 - t)).sum(), ((1 - p) * t).sum()
        index = (tp + s) / (tp + alpha * fp + beta * fn + s)
        miss = max(1 - index, 0)
        # Near 0, where the slope of a root is infinite, the package takes a straight line
        return 1 - (miss * 1e-7 ** (power - 1) if miss <= 1e-7 else miss**power)

    return overlap(case, ratio)


def focal_tversky(case: Case) -> float:
    return tversky(case, 1 / case.args.get("gamma", 4 / 3))


def lovasz(case: Case) -> float:
    def value(p: np.ndarray, t: np.ndarray) -> float:
        errors = np.abs(t - p)
        wrong: set[int] = set()
        truth, total, before = set(np.flatnonzero(t)), 0.0, 0.0
        for k in np.argsort(-errors, kind="stable"):
            wrong.add(int(k))
            after = len(wrong) / len(truth | wrong)
            total += errors[k] * (after - before)
            before = after
        return total

    return over_regions(case, value, lambda t: t.any())


def mcc(case: Case) -> float:
    def value(p: np.ndarray, t: np.ndarray) -> float:
        tp, fp = (p * t).sum(), (p * (1 - t)).sum()
        fn, tn = ((1 - p) * t).sum(), ((1 - p) * (1 - t)).sum()
        return 1 - (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))

    return over_regions(case, value, lambda t: t.any() and not t.all())
