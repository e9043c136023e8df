"""Class weights from pixel counts, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanecli.errors import InputError
from lanecli.losses.weights import WEIGHTINGS, class_weights


def test_inverse() -> None:
    assert class_weights("inverse", [60, 30, 10]) == pytest.approx([100 / 180, 100 / 90, 100 / 30])


def test_median_frequency() -> None:
    assert class_weights("median_frequency", [60, 30, 10]) == pytest.approx([0.5, 1, 3])
    assert class_weights("median_frequency", [900, 100]) == pytest.approx([500 / 900, 5])


def test_effective_number() -> None:
    # b = 99/100: numbers 100 (1 - 0.99^90) and 100 (1 - 0.99^10); weights their inverses with a mean of 1
    numbers = np.array([100 * (1 - 0.99**90), 100 * (1 - 0.99**10)])
    assert class_weights("effective_number", [90, 10]) == pytest.approx(1 / numbers / (1 / numbers).mean())


def test_effective_number_tells_lanes_apart_at_real_counts() -> None:
    background, lane = class_weights("effective_number", [985 * 10**8, 15 * 10**8])
    # 1 - exp(-0.985) over 1 - exp(-0.015)
    assert lane / background == pytest.approx(42.1, abs=0.1)


@given(st.sampled_from([*WEIGHTINGS]), st.lists(st.integers(0, 10**12), min_size=1, max_size=40).filter(any))
def test_rarer_weighs_more_and_absent_nothing(name: str, counts: list[int]) -> None:
    weights = class_weights(name, counts)
    assert np.isfinite(weights).all()
    assert ((weights > 0) == (np.array(counts) > 0)).all()
    present = [(n, w) for n, w in zip(counts, weights, strict=True) if n]
    for (_, more), (_, less) in zip(sorted(present), sorted(present)[1:], strict=False):
        assert more >= less * (1 - 1e-12)


@pytest.mark.parametrize("name", [*WEIGHTINGS])
def test_equal_classes_weigh_one(name: str) -> None:
    assert class_weights(name, [7, 7, 7]) == pytest.approx([1, 1, 1])


@pytest.mark.parametrize(
    ("name", "counts", "message"),
    [
        ("media_frequency", [1, 2], "did you mean 'median_frequency'"),
        ("inverse", [0, 0], "at least one class"),
        ("inverse", [3, -1], "at least one class"),
    ],
)
def test_refusals(name: str, counts: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        class_weights(name, counts)
