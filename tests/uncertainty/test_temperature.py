"""The temperature against a search over a grid and torch's own minimiser."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from lanecli.errors import InputError
from lanecli.inference.fitting import _calibration_error
from lanecli.labels import LabelClass, LabelMap
from lanecli.uncertainty.temperature import LARGEST, SMALLEST, LogitSample, fit_temperature, likelihood


def label_map(classes: int, multilabel: bool = False) -> LabelMap:
    names = tuple(LabelClass(f"c{i}", (0, 0, i)) for i in range(classes))
    return LabelMap("some", names, multilabel=multilabel)


def drawn(seed: int, classes: int, count: int, true_temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and truths drawn from softmax(logits / temperature)."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((classes, count)) * 4
    probabilities = np.exp(log_softmax(logits / true_temperature, axis=0))
    truth = (rng.random(count) > probabilities.cumsum(0)).sum(0).clip(max=classes - 1)
    return logits, truth.astype(np.uint8)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.sampled_from([0.3, 1.0, 2.5, 8.0]))
def test_it_has_the_least_likelihood_scipy_finds(seed, classes, true_temperature):
    logits, truth = drawn(seed, classes, 800, true_temperature)

    def cost(inverse: float) -> float:
        return -float(log_softmax(logits * inverse, axis=0)[truth, np.arange(truth.size)].mean())

    best = minimize_scalar(cost, bounds=(1 / LARGEST, 1 / SMALLEST), method="bounded", options={"xatol": 1e-10})
    found = fit_temperature(logits, truth)
    assert cost(1 / found) <= best.fun + 1e-9
    if 2 * SMALLEST < found < LARGEST / 2:
        assert found == pytest.approx(1 / best.x, rel=1e-3)


def test_derivatives_are_torchs():
    logits, truth = drawn(4, 4, 50, 2.0)
    inverse = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(torch.from_numpy(logits.T) * inverse, torch.from_numpy(truth).long())
    (slope,) = torch.autograd.grad(loss, inverse, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, inverse)
    assert likelihood(logits, truth, 1 / 0.7) == pytest.approx((loss.item(), slope.item(), curvature.item()))


def test_ends_of_the_range_are_taken_where_nothing_holds_them():
    logits, _ = drawn(1, 3, 200, 1.0)
    assert fit_temperature(logits, logits.argmax(0).astype(np.uint8)) == SMALLEST
    assert fit_temperature(logits, logits.argmin(0).astype(np.uint8)) == LARGEST


@pytest.mark.parametrize("multilabel", [False, True])
def test_streamed_pictures_give_the_temperature_of_all_their_pixels(multilabel):
    logits, truth = drawn(7, 3, 600, 3.0)
    if multilabel:
        rng = np.random.default_rng(0)
        held = rng.random(logits.shape) < 1 / (1 + np.exp(-logits / 3))
        truth = (held * np.array([1, 2, 4])[:, None]).sum(0).astype(np.uint8)
        wide = np.stack([np.zeros(logits.size), logits.ravel()])
        wanted = fit_temperature(wide, held.ravel().astype(np.uint8))
    else:
        wanted = fit_temperature(logits, truth)
    sample = LogitSample(label_map(3, multilabel), pixels=1000)
    for start in range(0, 600, 200):
        mask = truth[start : start + 200].reshape(10, 20).copy()
        picture = logits[:, start : start + 200].reshape(3, 10, 20)
        padded = np.concatenate([mask, np.full((1, 20), 255, np.uint8)])
        sample.update(np.concatenate([picture, np.full((3, 1, 20), 99.0)], axis=1), padded)
    temperature, before, after = sample.fit()
    assert sample.seen == 600
    assert temperature == pytest.approx(wanted, rel=1e-4)
    assert after < before
    if not multilabel:
        assert before == pytest.approx(likelihood(logits, truth, 1.0)[0], rel=1e-5)


def test_memory_is_fixed_and_every_pixel_has_the_same_chance():
    sample = LogitSample(label_map(2), pixels=500)
    for number in range(40):
        sample.update(np.full((2, 10, 10), float(number)), np.zeros((10, 10), np.uint8))
    assert sample.seen == 4000
    kept = sample._logits[0]
    assert len(kept) == 500
    # 500 of 4000 from 40 pictures: 12.5 each, standard deviation about 3.3
    counts = np.bincount(kept.astype(int), minlength=40)
    assert counts.min() >= 1
    assert counts.max() <= 28
    assert counts[:20].sum() == pytest.approx(250, abs=60)


def test_nothing_to_calibrate_on_is_refused():
    with pytest.raises(InputError, match="no labelled pixel"):
        LogitSample(label_map(2)).fit()


@pytest.mark.parametrize("temperature", [1.0, 0.4, 3.0])
def test_the_calibration_error_equals_a_slow_count(temperature):
    logits, truth = drawn(3, 3, 500, 2.0)
    bins = [[] for _ in range(15)]
    for column, right in zip(logits.T, truth, strict=True):
        shares = [math.exp(value / temperature) for value in column]
        confidence = max(shares) / sum(shares)
        bins[min(int(confidence * 15), 14)].append((confidence, int(column.argmax()) == right))
    wanted = sum(abs(sum(hit - confidence for confidence, hit in held)) for held in bins) / 500
    assert _calibration_error(logits, truth, temperature) == pytest.approx(wanted, abs=1e-9)
