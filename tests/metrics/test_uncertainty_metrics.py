"""Uncertainty metrics against slow counts, one window and one threshold at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanecli.labels import LabelClass, LabelMap
from lanecli.metrics.uncertainty import DEFINITIONS, QUANTILES, OutOfDistributionCounts, UncertaintyCounts
from lanecli.metrics.uncertainty_bins import BINS, bins_of, histogram, lower_edges
from lanecli.metrics.uncertainty_ranking import aupr, aurc, auroc, fpr_at

Case = tuple[np.ndarray, np.ndarray, np.ndarray]


def some_map(classes: int, background: int | None = 0, multilabel: bool = False) -> LabelMap:
    names = tuple(LabelClass(f"c{i}", (0, 0, i)) for i in range(classes))
    return LabelMap("some", names, background=background, multilabel=multilabel)


def case(seed: int, classes: int, negative: bool = False, shape: tuple[int, int] = (7, 10)) -> Case:
    """An uncertainty that knows something of the errors, some of its values tied; predictions; truths."""
    rng = np.random.default_rng(seed)
    target = rng.integers(classes, size=shape).astype(np.uint8)
    wrong = rng.random(shape) < 0.3
    predicted = np.where(wrong, rng.integers(classes, size=shape), target).astype(np.uint8)
    uncertainty = (rng.random(shape) * 0.4 + 0.3 * (predicted != target)).astype(np.float32)
    uncertainty[rng.random(shape) < 0.3] = np.float32(0.25)
    target[rng.random(shape) < 0.15] = 255
    return (uncertainty * -900 if negative else uncertainty), predicted, target


# the bins


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-(2.0**23), 2.0**23, width=32), min_size=1, max_size=30))
def test_bins_rise_with_values_and_hold_them(values):
    array = np.array(values, np.float32)
    found, edges = bins_of(array), lower_edges()
    order = np.argsort(array, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    for value, place in zip(array.astype(float), found, strict=True):
        assert edges[place] <= value
        assert place + 1 == BINS or value <= edges[place + 1]
        if abs(value) > 2.0**-23:
            assert edges[place + 1] - edges[place] <= abs(value) * 2.0**-8


def test_the_ends_and_what_is_no_number():
    assert bins_of(np.array([-np.inf, 0.0, -0.0, np.inf], np.float32)).tolist() == [0, BINS // 2, BINS // 2, BINS - 1]
    assert (np.diff(lower_edges()) > 0).all()
    with pytest.raises(ValueError, match="not a number"):
        bins_of(np.array([np.nan]))


# ranking


def slow_auroc(scores: list[float], positive: list[bool]) -> float | None:
    wins = pairs = 0.0
    for s, p in zip(scores, positive, strict=True):
        for t, q in zip(scores, positive, strict=True):
            if p and not q:
                pairs += 1
                wins += 1.0 if s > t else 0.5 if s == t else 0.0
    return wins / pairs if pairs else None


def slow_aupr(scores: list[float], positive: list[bool]) -> float | None:
    """Precision times step of recall, thresholds at each distinct score."""
    total, area, before = sum(positive), 0.0, 0.0
    if not total:
        return None
    for threshold in sorted(set(scores), reverse=True):
        taken = [p for s, p in zip(scores, positive, strict=True) if s >= threshold]
        recall = sum(taken) / total
        area += (recall - before) * sum(taken) / len(taken)
        before = recall
    return area


def slow_aurc(scores: list[float], wrong: list[bool]) -> float | None:
    """Pixels one after the other from the surest; each of a tie has the tie's error rate: the mean over orders."""
    risks, errors, kept = [], 0.0, 0
    for value in sorted(set(scores)):
        tied = [w for s, w in zip(scores, wrong, strict=True) if s == value]
        for _ in tied:
            errors += sum(tied) / len(tied)
            kept += 1
            risks.append(errors / kept)
    return sum(risks) / len(risks) if risks else None


def slow_fpr(scores: list[float], positive: list[bool], recall: float) -> float | None:
    if all(positive) or not any(positive):
        return None
    for threshold in sorted(set(scores), reverse=True):
        found = sum(p and s >= threshold for s, p in zip(scores, positive, strict=True))
        if found >= recall * sum(positive) - 1e-9:
            taken = sum(not p and s >= threshold for s, p in zip(scores, positive, strict=True))
            return taken / (len(positive) - sum(positive))
    raise AssertionError


SCORED = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=40)


@settings(deadline=None, max_examples=80)
@given(SCORED)
def test_areas_are_those_of_slow_counts(pairs):
    scores, positive = [float(s) for s, _ in pairs], [p for _, p in pairs]
    counts = histogram(np.array(scores), np.array(positive), 2)
    negatives, positives = counts
    close = {"rel": 1e-9, "abs": 1e-12}
    for found, wanted in (
        (auroc(positives, negatives), slow_auroc(scores, positive)),
        (aupr(positives, negatives), slow_aupr(scores, positive)),
        (aurc(negatives, positives), slow_aurc(scores, positive)),
        (fpr_at(positives, negatives, 0.9), slow_fpr(scores, positive, 0.9)),
    ):
        assert (found is None) == (wanted is None)
        if wanted is not None:
            assert found == pytest.approx(wanted, **close)


def test_areas_of_many_pixels_use_the_series_rightly():
    rng = np.random.default_rng(0)
    right, wrong = rng.integers(0, 400, 50), rng.integers(0, 300, 50)
    scores, errors = [], []
    for value, (r, w) in enumerate(zip(right, wrong, strict=True)):
        scores += [value] * (r + w)
        errors += [False] * r + [True] * w
    assert aurc(right, wrong) == pytest.approx(slow_aurc(scores, errors), rel=1e-10)


# windows and thresholds


def slow_windows(cases: list[Case], side: int, background: int | None, foreground: bool) -> list[tuple[float, bool]]:
    """Uncertainty (as a float32's bin edge tells it) and accuracy of each window that counts."""
    found = []
    for uncertainty, predicted, target in cases:
        height, width = target.shape
        for top in range(0, height, side):
            for left in range(0, width, side):
                values, hits = [], []
                for y in range(top, min(top + side, height)):
                    for x in range(left, min(left + side, width)):
                        if target[y, x] == 255:
                            continue
                        if foreground and target[y, x] == background and predicted[y, x] == background:
                            continue
                        values.append(float(uncertainty[y, x]))
                        hits.append(predicted[y, x] == target[y, x])
                if values:
                    found.append((sum(values) / len(values), sum(hits) / len(hits) >= 0.5))
    return found


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 4),
    st.sampled_from([1, 2, 3, 4, 16]),
    st.booleans(),
    st.booleans(),
    st.integers(1, 3),
)
def test_scores_at_thresholds_are_those_of_a_slow_count(seed, classes, side, negative, foreground, pictures):
    cases = [case(seed + i, classes, negative) for i in range(pictures)]
    limit = None if negative else math.log(classes)
    counts = UncertaintyCounts(some_map(classes), (side,), limit, sign=-1 if negative else 1)
    for each in cases:
        counts.update(*each)
    windows = slow_windows([((-u if negative else u), p, t) for u, p, t in cases], side, 0, foreground)
    found = counts.at_quantiles(side, foreground=foreground)
    common = counts.at_common(side, foreground=foreground)
    assert (common is None) == negative
    for scores in (found, common) if common else (found,):
        for number, threshold in enumerate(scores.thresholds):
            place = int(np.searchsorted(lower_edges(), threshold))
            certain = [int(bins_of(np.array([value], np.float32))[0]) < place for value, _ in windows]
            table = {
                (a, c): sum(right == a and sure == c for (_, right), sure in zip(windows, certain, strict=True))
                for a in (True, False)
                for c in (True, False)
            }
            n_ac, n_au = table[True, True], table[True, False]
            n_ic, n_iu = table[False, True], table[False, False]
            assert scores.certain[number] == pytest.approx((n_ac + n_ic) / max(len(windows), 1))
            wanted = n_ac / (n_ac + n_ic) if n_ac + n_ic else None
            assert scores.p_accurate_given_certain[number] == pytest.approx(wanted)
            wanted = n_iu / (n_ic + n_iu) if n_ic + n_iu else None
            assert scores.p_uncertain_given_inaccurate[number] == pytest.approx(wanted)
            assert scores.pavpu[number] == pytest.approx((n_ac + n_iu) / max(n_ac + n_au + n_ic + n_iu, 1))
    for share, certain_share in zip(QUANTILES, found.certain, strict=True):
        assert not windows or certain_share >= share - 1e-9


def test_certain_means_low_entropy():
    """The trap: code made for softmax confidence marks the high side as certain, and every score turns round."""
    target = np.zeros((8, 8), np.uint8)
    predicted = target.copy()
    predicted[:4] = 1  # the upper half is wrong …
    entropy = np.where(predicted == 1, np.float32(0.6), np.float32(0.1))  # … and the entropy knows it
    counts = UncertaintyCounts(some_map(2), (1, 4), math.log(2))
    counts.update(entropy, predicted, target)
    half = counts.at_common(4)
    place = next(i for i, t in enumerate(half.thresholds) if t > 0.3)
    assert half.certain[place] == 0.5
    assert half.p_accurate_given_certain[place] == 1
    assert half.p_uncertain_given_inaccurate[place] == 1
    assert half.pavpu[place] == 1
    assert counts.ranking()["auroc_error"] == 1
    log_density = -entropy
    turned = UncertaintyCounts(some_map(2), (1, 4), sign=-1)
    turned.update(log_density, predicted, target)
    assert turned.ranking() == counts.ranking()
    scores = turned.scores()
    assert scores["pavpu"][QUANTILES.index(0.5)] == 1
    assert all(-0.7 < t < 0 for t in scores["thresholds"][: QUANTILES.index(0.5)])


def test_windows_cut_off_by_the_border_count():
    target = np.zeros((5, 6), np.uint8)
    counts = UncertaintyCounts(some_map(2), (1, 4))
    counts.update(np.zeros((5, 6), np.float32), target, target)
    assert counts.counts["windows"][1, 0].sum() == 4
    assert counts.counts["windows"][0, 0].sum() == 30
    assert counts.counts["windows"][:, 1].sum() == 0


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_coverage_is_iou_over_the_surest_pixels(seed, negative):
    cases = [case(seed + i, 3, negative) for i in range(2)]
    counts = UncertaintyCounts(some_map(3), sign=-1 if negative else 1)
    for each in cases:
        counts.update(*each)
    uncertainty, predicted, target = (np.concatenate([c[i].ravel() for c in cases]) for i in range(3))
    if negative:
        uncertainty = -uncertainty
    counted = target != 255
    uncertainty, predicted, target = uncertainty[counted], predicted[counted], target[counted]
    places = bins_of(uncertainty) // 32
    for row in counts.coverage():
        kept = next(
            kept for kept in (places <= p for p in sorted(set(places))) if kept.mean() >= row["coverage"] - 1e-12
        )
        assert kept.mean() == pytest.approx(row["coverage"])
        assert row["pixel_error"] == pytest.approx((predicted[kept] != target[kept]).mean())
        iou = []
        for c in range(3):
            union = ((predicted == c) | (target == c)) & kept
            iou.append(((predicted == c) & (target == c) & kept).sum() / union.sum() if union.any() else None)
        present = [v for v in iou if v is not None]
        assert row["miou"] == pytest.approx(sum(present) / len(present))
        front = [v for v in iou[1:] if v is not None]
        assert row["miou_foreground"] == pytest.approx(sum(front) / len(front) if front else None)
    assert counts.coverage()[0]["coverage"] == 1


def test_several_labels_are_right_where_all_bits_are():
    label_map = some_map(2, None, multilabel=True)
    counts = UncertaintyCounts(label_map, (1,))
    target = np.array([[0, 1, 2, 3, 255]], np.uint8)
    predicted = np.array([[0, 1, 3, 3, 0]], np.uint8)
    counts.update(np.array([[0.1, 0.2, 0.9, 0.3, 0.4]], np.float32), predicted, target)
    assert counts.counts["windows"][0, 0].sum(1).tolist() == [1, 3]
    assert counts.counts["windows"][0, 1].sum(1).tolist() == [1, 2]
    assert counts.ranking()["auroc_error"] == 1
    full = counts.coverage()[0]
    assert full["miou"] == pytest.approx((2 / 3 + 2 / 2) / 2)


def test_parts_merge_to_the_whole_in_the_same_memory():
    cases = [case(i, 3) for i in range(4)]
    parts = [UncertaintyCounts(some_map(3), limit=math.log(3)) for _ in range(3)]
    for number, each in enumerate(cases):
        parts[0].update(*each)
        parts[1 + number % 2].update(*each)
    parts[1].merge(parts[2])
    assert parts[1].scores() == parts[0].scores()
    assert sum(c.nbytes for c in parts[0].counts.values()) < 12 << 20
    assert set(DEFINITIONS) <= set(parts[0].scores())


def test_nothing_counted_gives_no_scores():
    counts = UncertaintyCounts(some_map(2), limit=1.0)
    counts.update(np.zeros((3, 3), np.float32), np.zeros((3, 3), np.uint8), np.full((3, 3), 255, np.uint8))
    scores = counts.scores()
    assert scores["auroc_error"] is None
    assert scores["aurc"] is None
    assert scores["coverage"] == []
    assert set(scores["p_accurate_given_certain"]) == {None}


def test_wrong_shapes_are_refused():
    counts = UncertaintyCounts(some_map(2))
    with pytest.raises(ValueError, match="shapes differ"):
        counts.update(np.zeros((3, 4), np.float32), np.zeros((3, 3), np.uint8), np.zeros((3, 3), np.uint8))


def test_strangers_are_told_by_their_uncertainty():
    rng = np.random.default_rng(3)
    familiar, strange = rng.normal(-100, 20, (5, 6)), rng.normal(-180, 40, (5, 6))
    counts, part = OutOfDistributionCounts(sign=-1), OutOfDistributionCounts(sign=-1)
    counts.update(familiar, strange=False)
    part.update(strange, strange=True)
    counts.merge(part)
    scores = [float(v) for v in lower_edges()[bins_of(-np.concatenate([familiar, strange]).ravel())]]
    positive = [False] * 30 + [True] * 30
    assert counts.scores() == pytest.approx(
        {
            "auroc": slow_auroc(scores, positive),
            "aupr": slow_aupr(scores, positive),
            "fpr95": slow_fpr(scores, positive, 0.95),
        }
    )
    assert counts.scores()["auroc"] > 0.8
