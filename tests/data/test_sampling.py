"""Samplers: classes drawn equally, repeat factors by hand, bootstrap by seed, and multi-label bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanecli.data.augment import swap_classes
from lanecli.data.dataset import PreparedPictures, TrainingSet
from lanecli.data.manifest import Sample
from lanecli.data.sampling import balanced_weights, bootstrap, class_presence, rare_weights
from lanecli.geometry import Geometry
from lanecli.labels import LabelClass, LabelMap
from lanecli.media import write_mask, write_picture

MAP = LabelMap("m", tuple(LabelClass(name, (i, i, i)) for i, name in enumerate(("background", "line", "arrow"))))


def make_samples(folder: Path, masks: list[list[int]]) -> list[Sample]:
    """One sample for each list of ids, which its mask holds."""
    samples = []
    for number, ids in enumerate(masks):
        mask = np.zeros((4, 6), np.uint8)
        mask[0, : len(ids)] = ids
        write_mask(folder / f"{number}.png", mask)
        write_picture(folder / f"{number}.jpg", np.zeros((4, 6, 3), np.uint8))
        samples.append(Sample(folder / f"{number}.jpg", folder / f"{number}.png", "train", "g"))
    return samples


def test_presence_counts_what_masks_hold(tmp_path: Path) -> None:
    samples = make_samples(tmp_path, [[1], [1, 255], [2, 1], [255]])
    expected = [[1, 1, 0], [1, 1, 0], [1, 1, 1], [1, 0, 0]]
    np.testing.assert_array_equal(class_presence(samples, MAP), np.array(expected, bool))


def test_balanced_draws_every_class_equally() -> None:
    presence = np.array([[1, 1, 0]] * 9 + [[1, 0, 1]], bool)
    weights = balanced_weights(presence, 0)
    assert weights[:9].sum() == pytest.approx(0.5)  # nine samples share the common class's half
    assert weights[9] == pytest.approx(0.5)


def test_balanced_keeps_a_share_for_empty_pictures() -> None:
    weights = balanced_weights(np.array([[1, 1], [1, 0], [1, 0]], bool), 0)
    np.testing.assert_allclose(weights, [0.5, 0.25, 0.25])


def test_rare_uses_repeat_factors() -> None:
    presence = np.zeros((100, 3), bool)
    presence[:, 0] = presence[:, 1] = True
    presence[:3, 2] = True  # in 3 percent of the samples: factor sqrt(0.3 / 0.03)
    weights = rare_weights(presence, 0)
    assert weights[0] / weights[50] == pytest.approx(np.sqrt(10))


@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 2**31))
def test_weights_are_probabilities(samples: int, classes: int, seed: int) -> None:
    presence = np.random.default_rng(seed).random((samples, classes)) < 0.3
    for choose in (balanced_weights, rare_weights):
        for background in (None, 0):
            weights = choose(presence, background)
            assert weights.shape == (samples,)
            assert (weights > 0).all()
            assert weights.sum() == pytest.approx(1)


def test_bootstrap_repeats_and_differs_by_seed() -> None:
    first = bootstrap(1000, 3)
    np.testing.assert_array_equal(first, bootstrap(1000, 3))
    assert (first != bootstrap(1000, 4)).any()
    assert len(np.unique(first)) / 1000 == pytest.approx(1 - np.exp(-1), abs=0.05)  # the known share of a bootstrap


def test_training_draws_by_weight_and_bootstrap(tmp_path: Path) -> None:
    samples = make_samples(tmp_path, [[1]] * 19 + [[2]])
    balanced = TrainingSet([PreparedPictures(samples, MAP, "balanced")], Geometry((6, 4)), None, samples=2000)
    share = (balanced.draws(0)[:, 1] == 19).mean()
    assert share == pytest.approx(0.5, abs=0.05)
    bagged = PreparedPictures(samples, MAP, resample=5)
    assert len(bagged) == 20
    assert {s.image for s in bagged.samples} < {s.image for s in samples}


def test_planes_by_hand() -> None:
    several = LabelMap("s", MAP.classes, background=None, multilabel=True)
    masks = np.array([[[0b000, 0b101], [0b010, 255]]], np.uint8)
    expected = [[[0, 1], [0, 255]], [[0, 0], [1, 255]], [[0, 1], [0, 255]]]
    np.testing.assert_array_equal(several.split_labels(masks), np.array([expected], np.uint8))


def test_mirroring_swaps_bits_of_several_labels() -> None:
    several = LabelMap("s", MAP.classes, background=None, multilabel=True, swaps=((0, 2),))
    masks = np.array([[0b000, 0b001, 0b100, 0b101, 0b011, 255]], np.uint8)
    np.testing.assert_array_equal(swap_classes(masks, several), [[0b000, 0b100, 0b001, 0b101, 0b110, 255]])
