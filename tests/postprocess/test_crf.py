"""Dense CRF refinement against the same mean field with every pair of pixels written out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lanecli.errors import InputError
from lanecli.postprocess.crf import CrfSettings, refine

Doubles = NDArray[np.float64]


def brute(
    probabilities: NDArray[np.float32],
    rgb: NDArray[np.uint8],
    iterations: int,
    smoothness: tuple[float, float],
    appearance: tuple[float, float, float],
    background_weight: float = 1.0,
) -> Doubles:
    """Mean field with (N, N) kernels in double precision; smoothness: weight, sigma; appearance: weight, sigmas."""
    classes, height, width = probabilities.shape
    rows, columns = np.mgrid[:height, :width]
    place = np.stack([rows.ravel(), columns.ravel()], 1).astype(float)
    colour = rgb.reshape(-1, 3).astype(float)
    near = ((place[:, None] - place[None]) ** 2).sum(-1)
    alike = ((colour[:, None] - colour[None]) ** 2).sum(-1)
    total = np.zeros_like(near)
    for weight, kernel in (
        (smoothness[0], np.exp(-near / (2 * smoothness[1] ** 2))),
        (appearance[0], np.exp(-near / (2 * appearance[1] ** 2) - alike / (2 * appearance[2] ** 2))),
    ):
        root = np.sqrt(kernel.sum(1))
        total += weight * kernel / root[:, None] / root[None]
    unary = np.log(probabilities.reshape(classes, -1).astype(float))
    q = probabilities.reshape(classes, -1).astype(float)
    reward = np.array([background_weight] + [1.0] * (classes - 1))[:, None]
    for _ in range(iterations):
        scores = np.exp(unary + reward * (q @ total))
        q = scores / scores.sum(0)
    return q.reshape(probabilities.shape)


def stripe(noise: float, classes: int = 2, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A bright stripe on a road, and unsure probabilities of it two pixels off."""
    rng = np.random.default_rng(seed)
    picture = np.full((32, 40, 3), 70, np.uint8)
    cv2.line(picture, (8, 31), (28, 0), (200, 200, 190), 4)
    rgb = np.clip(picture + rng.normal(0, noise, picture.shape), 0, 255).astype(np.uint8)
    mask = np.zeros(rgb.shape[:2], np.float32)
    cv2.line(mask, (10, 31), (30, 0), (1.0,), 5)
    mask = np.clip(cv2.GaussianBlur(mask, (0, 0), 1.5) * 0.8 + 0.1 + rng.normal(0, 0.1, mask.shape), 0.02, 0.9)
    shares = np.full((classes - 1, *mask.shape), 0.1)  # of the road: one part of the width each
    for k, columns in enumerate(np.array_split(np.arange(mask.shape[1]), classes - 1)):
        shares[k, :, columns] = 1
    rest = (1 - mask) * shares / shares.sum(axis=0)
    return np.concatenate([rest, mask[None]]).astype(np.float32), rgb


PUBLISHED = {"background_weight": 1.0, "smoothness_weight": 3.0, "smoothness_sigma": 3.0, "appearance_weight": 5.0}
"""Potts, and DeepLab v1's order of weights."""


@pytest.mark.parametrize("sigmas", [(50.0, 13.0), (10.0, 13.0), (10.0, 30.0)])
@pytest.mark.parametrize(("noise", "classes"), [(0.0, 2), (4.0, 2), (6.0, 3)])
def test_agrees_with_every_pair_written_out(noise: float, classes: int, sigmas: tuple[float, float]) -> None:
    probabilities, rgb = stripe(noise, classes)
    ours = refine(probabilities, rgb, CrfSettings(appearance_sigma=sigmas[0], colour_sigma=sigmas[1], **PUBLISHED))
    exact = brute(probabilities, rgb, 5, (3.0, 3.0), (5.0, *sigmas))
    assert np.abs(exact - probabilities).mean() > 0.05  # there is something to agree on
    assert np.abs(ours - exact).mean() < 0.005
    assert np.abs(ours - exact).max() < 0.15
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours.sum(axis=0), 1, atol=1e-5)


def test_the_background_counts_for_less() -> None:
    probabilities, rgb = stripe(4.0, 3)
    ours = refine(probabilities, rgb, CrfSettings(background_weight=0.25, smoothness_sigma=2.0, appearance_sigma=12.0))
    exact = brute(probabilities, rgb, 5, (1.0, 2.0), (5.0, 12.0, 20.0), background_weight=0.25)
    plain = brute(probabilities, rgb, 5, (1.0, 2.0), (5.0, 12.0, 20.0))
    assert np.abs(exact - plain).mean() > 0.08
    assert np.abs(ours - exact).mean() < 0.02
    assert np.abs(ours - exact).max() < 0.15


def test_strong_noise_stays_close_on_average() -> None:
    probabilities, rgb = stripe(20.0)
    exact = brute(probabilities, rgb, 5, (3.0, 3.0), (5.0, 50.0, 13.0))
    ours = refine(probabilities, rgb, CrfSettings(appearance_sigma=50.0, colour_sigma=13.0, **PUBLISHED))
    assert np.abs(ours - exact).mean() < 0.01


def test_the_smoothness_kernel_alone_is_exact() -> None:
    probabilities, rgb = stripe(8.0)
    ours = refine(
        probabilities,
        rgb,
        CrfSettings(iterations=3, **{**PUBLISHED, "appearance_weight": 0.0, "smoothness_weight": 6.0}),
    )
    np.testing.assert_allclose(ours, brute(probabilities, rgb, 3, (6.0, 3.0), (0.0, 50.0, 13.0)), atol=5e-4)


def test_sure_pixels_stay_and_count() -> None:
    """Most of the picture is sure; what the rest becomes is close to the mean field over every pixel."""
    probabilities, rgb = stripe(4.0)
    sure = np.ones(rgb.shape[:2], bool)
    sure[10:24, 6:32] = False
    probabilities[:, sure] = np.where(rgb[sure].mean(1) > 135, [[1e-6], [1 - 1e-6]], [[1 - 1e-6], [1e-6]])
    ours = refine(probabilities, rgb, CrfSettings(appearance_sigma=20.0, smoothness_sigma=2.0))
    np.testing.assert_array_equal(ours[:, sure], probabilities[:, sure])
    exact = brute(probabilities, rgb, 5, (1.0, 2.0), (5.0, 20.0, 20.0), background_weight=0.25)
    assert np.abs(exact - probabilities)[:, ~sure].mean() > 0.05
    assert np.abs(ours - exact)[:, ~sure].mean() < 0.005
    few = refine(
        probabilities, rgb, CrfSettings(appearance_sigma=20.0, smoothness_sigma=2.0, sure_samples=100)
    )  # of 916
    assert np.abs(few - exact)[:, ~sure].mean() < 0.01


def test_a_noisy_mask_of_thin_stripes_gets_better() -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((180, 320), np.uint8)
    cv2.line(mask, (38, 179), (150, 0), (1,), 4)
    cv2.line(mask, (278, 179), (170, 0), (1,), 3)
    levels = np.where(mask[..., None] == 1, 190, 80)
    rgb = np.clip(levels + rng.normal(0, 8, (*mask.shape, 3)), 0, 255).astype(np.uint8)
    logits = 12 * (cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 2.0) - 0.45) + rng.normal(0, 1.5, mask.shape)
    lane = (1 / (1 + np.exp(-logits))).astype(np.float32)
    probabilities = np.stack([1 - lane, lane])

    def iou(refined: NDArray[np.float32]) -> float:
        found = refined[1] > 0.5
        return float((found & (mask == 1)).sum() / (found | (mask == 1)).sum())

    assert iou(probabilities) < 0.8
    assert iou(refine(probabilities, rgb)) > 0.86
    assert iou(refine(probabilities, rgb, CrfSettings(appearance_weight=0))) < 0.82  # it is the picture that tells


def test_a_class_follows_the_edge_of_the_picture() -> None:
    rgb = np.full((24, 40, 3), 60, np.uint8)
    rgb[:, 20:] = 200
    bright = np.full((24, 40), 0.4, np.float32)
    bright[:, 23:] = 0.8  # three pixels late
    refined = refine(np.stack([1 - bright, bright]), rgb, CrfSettings(appearance_sigma=50.0), background=None)
    assert (refined[1, :, 20:] > 0.5).all()
    assert (refined[1, :, :20] < 0.5).all()


def test_no_iteration_and_no_doubt_change_nothing() -> None:
    probabilities, rgb = stripe(4.0)
    np.testing.assert_array_equal(refine(probabilities, rgb, CrfSettings(iterations=0)), probabilities)
    certain = np.stack([np.ones(rgb.shape[:2], np.float32), np.zeros(rgb.shape[:2], np.float32)])
    np.testing.assert_array_equal(refine(certain, rgb), certain)


def test_bad_input_is_one_line() -> None:
    probabilities, rgb = stripe(4.0)
    with pytest.raises(InputError, match="do not match"):
        refine(probabilities, rgb[1:])
    with pytest.raises(InputError, match="must be positive"):
        refine(probabilities, rgb, CrfSettings(colour_sigma=0))
    with pytest.raises(InputError, match="larger standard deviations"):
        refine(probabilities, rgb, CrfSettings(colour_sigma=1e-4))
    with pytest.raises(InputError, match="not be negative"):
        refine(probabilities, rgb, CrfSettings(iterations=-1))
