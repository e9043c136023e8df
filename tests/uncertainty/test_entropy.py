"""Entropy, mutual information and energy against plain formulas in double precision."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanecli.uncertainty.energy import energy
from lanecli.uncertainty.entropy import MemberEntropies, entropy, largest_entropy
from lanecli.uncertainty.maps import MAPS, doubt

FORMS = st.tuples(st.booleans(), st.integers(1, 5))
"""Whether bernoulli, and how many planes."""


def planes_of(seed: int, bernoulli: bool, count: int, dtype: type = np.float64) -> np.ndarray:
    """(count, 3, 4) probabilities, some of them exactly 0 and 1."""
    rng = np.random.default_rng(seed)
    if bernoulli:
        planes = rng.random((count, 3, 4))
        planes[rng.random(planes.shape) < 0.2] = 0
        planes[rng.random(planes.shape) < 0.2] = 1
        return planes.astype(dtype)
    planes = rng.dirichlet(np.full(count, 0.3), (3, 4)).transpose(2, 0, 1)
    planes[:, 0, 0] = np.eye(count)[rng.integers(count)]
    return planes.astype(dtype)


def distributions(planes: np.ndarray, bernoulli: bool, y: int, x: int) -> list[list[float]]:
    """The independent distributions at one pixel."""
    values = [float(p) for p in planes[:, y, x]]
    return [[p, 1 - p] for p in values] if bernoulli else [values]


def slow_entropy(planes: np.ndarray, bernoulli: bool) -> np.ndarray:
    found = np.zeros(planes.shape[1:])
    for y, x in np.ndindex(found.shape):
        labels = len(planes) if bernoulli else 1
        found[y, x] = (
            -sum(p * math.log(p) for each in distributions(planes, bernoulli, y, x) for p in each if p > 0) / labels
        )
    return found


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), FORMS)
def test_entropy_is_the_formula(seed, form):
    planes = planes_of(seed, *form)
    assert entropy(planes, bernoulli=form[0]) == pytest.approx(slow_entropy(planes, form[0]), abs=1e-12)
    single = entropy(planes.astype(np.float32), bernoulli=form[0])
    assert single.dtype == np.float32
    assert single == pytest.approx(slow_entropy(planes, form[0]), abs=2e-6)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), FORMS)
def test_entropy_lies_between_none_and_the_largest(seed, form):
    bernoulli, count = form
    found = entropy(planes_of(seed, bernoulli, count, np.float32), bernoulli=bernoulli)
    largest = largest_entropy(count, bernoulli=bernoulli)
    assert found.min() >= 0
    assert found.max() <= largest + 1e-5
    even = np.full((count, 1, 1), 0.5 if bernoulli else 1 / count)
    assert entropy(even, bernoulli=bernoulli) == pytest.approx(largest)


def test_one_plane_is_two_exclusive_classes():
    plane = planes_of(3, True, 1)
    both = np.concatenate([1 - plane, plane])
    assert entropy(plane, bernoulli=True) == pytest.approx(entropy(both, bernoulli=False), abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), FORMS, st.lists(st.floats(0.1, 5), min_size=1, max_size=5))
def test_members_are_folded_as_the_formula_says(seed, form, weights):
    members = [planes_of(seed + i, *form) for i in range(len(weights))]
    fold = MemberEntropies(bernoulli=form[0])
    for planes, weight in zip(members, weights, strict=True):
        before = planes.copy()
        fold.add(planes, weight)
        assert (planes == before).all()
    shares = np.array(weights) / sum(weights)
    mean = sum(share * planes for share, planes in zip(shares, members, strict=True))
    total = slow_entropy(mean, form[0])
    own = sum(share * slow_entropy(planes, form[0]) for share, planes in zip(shares, members, strict=True))
    found = fold.result()
    assert found["entropy"] == pytest.approx(total, abs=1e-9)
    assert found["mutual_information"] == pytest.approx(np.maximum(total - own, 0), abs=1e-9)
    assert found["mutual_information"].min() >= 0


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), FORMS, st.integers(1, 7), st.floats(0.1, 3))
def test_members_that_agree_have_exactly_no_mutual_information(seed, form, members, weight):
    planes = planes_of(seed, *form, np.float32)
    fold = MemberEntropies(bernoulli=form[0])
    for _ in range(members):
        fold.add(planes, weight)
    found = fold.result()
    assert (found["mutual_information"] == 0).all()
    assert (found["entropy"] == entropy(planes, bernoulli=form[0])).all()


def test_no_member_is_an_error():
    with pytest.raises(ValueError, match="no member"):
        MemberEntropies(bernoulli=True).result()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.booleans(), st.sampled_from([1.0, 30.0, 1000.0]))
def test_energy_is_the_formula(seed, classes, multilabel, size):
    logits = np.random.default_rng(seed).standard_normal((classes, 2, 3)) * size
    found = energy(logits, multilabel=multilabel)
    for y, x in np.ndindex(2, 3):
        values = [float(v) for v in logits[:, y, x]]
        if multilabel:
            wanted = -sum(max(v, 0) + math.log1p(math.exp(-abs(v))) for v in values)
        else:
            wanted = -(max(values) + math.log(sum(math.exp(v - max(values)) for v in values)))
        assert found[y, x] == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def test_high_is_uncertain_for_every_map():
    low_end = {"entropy": 0.0, "mutual_information": 0.0, "log_density": -900.0, "energy": -20.0, "neco": 0.1}
    high_end = {"entropy": 0.6, "mutual_information": 0.3, "log_density": -10.0, "energy": -1.0, "neco": 0.9}
    doubtful_high = {"entropy", "mutual_information", "energy"}
    assert set(MAPS) == set(low_end)
    for name in MAPS:
        low, high = doubt(name, np.array([low_end[name], high_end[name]]))
        assert (high > low) == (name in doubtful_high)
