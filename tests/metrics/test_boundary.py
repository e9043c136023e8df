"""Boundary F1 against a reference that measures every pair of boundary pixels."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lanecli.labelmaps import label_map
from lanecli.labels import LabelClass, LabelMap
from lanecli.metrics import Truth
from lanecli.metrics.boundary import BoundaryScores

THREE = LabelMap("three", tuple(LabelClass(name, (0, 0, n)) for n, name in enumerate("abc")), background=0)
BITS = LabelMap("bits", (LabelClass("a", (0, 0, 1)), LabelClass("b", (0, 0, 2))), multilabel=True)


def reference_boundary(region: np.ndarray, counted: np.ndarray) -> list[tuple[int, int]]:
    height, width = region.shape
    return [
        (y, x)
        for y in range(height)
        for x in range(width)
        if region[y, x]
        and counted[y, x]
        and any(
            0 <= j < height and 0 <= i < width and counted[j, i] and not region[j, i]
            for j, i in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
        )
    ]


def reference(pairs: list[tuple[np.ndarray, np.ndarray]], region_of) -> float | None:
    """`region_of` returns the region of the class in a map of ids."""
    near = predicted = met = true = 0
    for ids, truth in pairs:
        ours, theirs = (reference_boundary(region_of(each), truth != 255) for each in (ids, truth))
        close = [[(y - j) ** 2 + (x - i) ** 2 <= 4 for j, i in theirs] for y, x in ours]
        near += sum(map(any, close))
        met += sum(map(any, zip(*close, strict=True)))
        predicted, true = predicted + len(ours), true + len(theirs)
    if not predicted and not true:
        return None
    precision, recall = near / max(predicted, 1), met / max(true, 1)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            arrays(np.uint8, (9, 12), elements=st.sampled_from([0, 0, 0, 1, 2])),
            arrays(np.uint8, (9, 12), elements=st.sampled_from([0, 0, 0, 0, 1, 2, 255])),
        ),
        min_size=1,
        max_size=3,
    ),
    st.booleans(),
)
def test_it_is_what_a_slow_count_of_all_pairs_gives(pairs: list, multilabel: bool) -> None:
    classes = BITS if multilabel else THREE
    metric = BoundaryScores(classes)
    for ids, truth in pairs:
        metric.update(SimpleNamespace(class_map=ids), Truth(truth))
    for number, name in enumerate(classes.names):
        wanted = reference(pairs, lambda m, n=number: (m >> n & 1) == 1 if multilabel else m == n)
        assert metric.scores()["boundary_f1"][name] == (None if wanted is None else pytest.approx(wanted))


def test_two_pixels_are_met_and_three_are_not() -> None:
    truth = np.zeros((20, 40), np.uint8)
    truth[:, 10:14] = 1
    for shift, wanted in ((0, 1.0), (2, 1.0), (3, 0.5), (8, 0.0)):
        metric = BoundaryScores(label_map("lane"))
        metric.update(SimpleNamespace(class_map=np.roll(truth, shift, axis=1)), Truth(truth))
        assert metric.scores()["boundary_f1"]["lane marking"] == pytest.approx(wanted)
