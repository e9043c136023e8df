"""Streamed statistics and Gaussians against two passes and scipy's, and the graph's planes against both."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from lanecli.errors import InputError
from lanecli.labelmaps import label_map
from lanecli.labels import LabelClass, LabelMap
from lanecli.uncertainty.density import LARGEST_CONDITION, cholesky, fit_gaussians
from lanecli.uncertainty.energy import energy
from lanecli.uncertainty.entropy import entropy
from lanecli.uncertainty.graph import Cells, Energy, Entropy, LogDensity, Neco
from lanecli.uncertainty.neco import principal_space
from lanecli.uncertainty.statistics import FeatureStatistics, Moments

THREE = LabelMap("three", tuple(LabelClass(n, (0, 0, i)) for i, n in enumerate("abc")))
LABELS = LabelMap("labels", tuple(LabelClass(n, (0, 0, i)) for i, n in enumerate("ab")), multilabel=True)


def pictures(seed: int, channels: int, count: int = 3, offset: float = 0.0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Correlated features (channels, 6, 8) and masks of twice their size with ignored pixels."""
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((channels, channels))
    found = []
    for _ in range(count):
        mask = rng.integers(0, 3, (12, 16)).astype(np.uint8)
        mask[rng.random(mask.shape) < 0.1] = 255
        found.append((np.tensordot(mix, rng.standard_normal((channels, 6, 8)), 1) + offset, mask))
    return found


def statistics_of(material: list[tuple[np.ndarray, np.ndarray]], labels: LabelMap = THREE) -> FeatureStatistics:
    statistics = FeatureStatistics(labels, len(material[0][0]))
    for features, mask in material:
        statistics.update(features, mask)
    return statistics


def nearest_label(mask: np.ndarray, y: int, x: int) -> int:
    """Of a mask twice as large: the rule of lanecli's nearest resize at halves, by hand."""
    row = 2 * y + (x % 2)
    column = 2 * x + (y % 2)
    return int(mask[row, column])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.sampled_from([0.0, 3.0, 1e6]))
def test_streaming_equals_two_passes(seed, channels, offset):
    material = pictures(seed, channels, offset=offset)
    statistics = statistics_of(material)
    ignored = 0
    for group in range(3):
        samples = [
            features[:, y, x]
            for features, mask in material
            for y in range(6)
            for x in range(8)
            if nearest_label(mask, y, x) == group
        ]
        found = statistics.groups[group]
        assert found.count == len(samples)
        ignored += len(samples)
        mean = np.mean(samples, 0)
        assert found.mean == pytest.approx(mean, rel=1e-12, abs=1e-9)
        wanted = np.cov(np.array(samples).T, ddof=1).reshape(channels, channels)
        assert found.covariance() == pytest.approx(wanted, rel=1e-6, abs=1e-6)
    assert statistics.skipped == 3 * 48 - ignored


def test_parts_merge_to_the_whole_and_empty_parts_change_nothing():
    material = pictures(5, 4, count=4)
    whole, first, second = statistics_of(material), statistics_of(material[:1]), statistics_of(material[1:])
    first.merge(second)
    first.merge(FeatureStatistics(THREE, 4))
    for ours, theirs in zip(first.groups, whole.groups, strict=True):
        assert ours.count == theirs.count
        assert ours.scatter == pytest.approx(theirs.scatter)
    assert (Moments.empty(2) + Moments.empty(2)).count == 0
    assert Moments.of(np.zeros((0, 3))).count == 0


def test_several_labels_have_a_group_each_and_one_for_none():
    mask = np.array([[0, 1, 2, 3, 255]], np.uint8)
    features = np.arange(5, dtype=float).reshape(1, 1, 5)
    statistics = FeatureStatistics(LABELS, 1)
    statistics.update(features, mask)
    assert [group.count for group in statistics.groups] == [2, 2, 1]
    assert [float(group.mean[0]) for group in statistics.groups] == [2.0, 2.5, 0.0]
    assert statistics.names[-1] == "none of them"


def reference(features: np.ndarray, means: np.ndarray, covariances: list[np.ndarray]) -> np.ndarray:
    points = features.reshape(len(features), -1).T
    each = [
        multivariate_normal(mean, covariance).logpdf(points)
        for mean, covariance in zip(means, covariances, strict=True)
    ]
    return (logsumexp(each, axis=0) - np.log(len(each))).reshape(features.shape[1:])


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_density_is_scipys(seed, channels):
    material = pictures(seed, channels)
    statistics = statistics_of(material)
    gaussians = fit_gaussians(statistics)
    features = material[0][0] * 3
    covariances = [group.covariance() for group in statistics.groups]
    means = np.stack([group.mean for group in statistics.groups])
    assert gaussians.log_density(features) == pytest.approx(reference(features, means, covariances), rel=1e-8)
    assert not gaussians.notes
    assert gaussians.jitters == (0.0, 0.0, 0.0)


def test_reduced_density_is_scipys_in_the_principal_components():
    material = pictures(9, 6, count=5)
    statistics = statistics_of(material)
    gaussians = fit_gaussians(statistics, components=3)
    assert any("from 6 channels to 3" in note for note in gaussians.notes)
    everything = np.concatenate(
        [
            features.reshape(6, -1)[:, [nearest_label(mask, y, x) < 3 for y in range(6) for x in range(8)]]
            for features, mask in material
        ],
        axis=1,
    )
    values, vectors = np.linalg.eigh(np.cov(everything))
    basis = vectors[:, np.argsort(values)[::-1][:3]].T
    features = material[1][0]
    reduced = np.tensordot(basis, features - everything.mean(1)[:, None, None], 1)
    means, covariances = [], []
    for group in range(3):
        samples = np.array(
            [
                np.tensordot(basis, f[:, y, x] - everything.mean(1), 1)
                for f, mask in material
                for y in range(6)
                for x in range(8)
                if nearest_label(mask, y, x) == group
            ]
        )
        means.append(samples.mean(0))
        covariances.append(np.cov(samples.T))
    wanted = reference(reduced, np.stack(means), covariances)
    assert gaussians.log_density(features) == pytest.approx(wanted, rel=1e-6)


def test_small_classes_are_pooled_and_empty_ones_left_out_and_said():
    rng = np.random.default_rng(2)
    features = rng.standard_normal((4, 10, 10))
    mask = np.zeros((10, 10), np.uint8)
    mask[0, :3] = 1
    statistics = FeatureStatistics(THREE, 4)
    statistics.update(features, mask)
    gaussians = fit_gaussians(statistics)
    assert gaussians.names == ("a", "b")
    few, none = gaussians.notes
    assert "'b' has 3 pixels" in few
    assert "'c' has no pixel" in none
    pooled = (statistics.groups[0].scatter + statistics.groups[1].scatter) / 99
    assert gaussians.factors[1] @ gaussians.factors[1].T == pytest.approx(pooled)
    assert gaussians.means[1] == pytest.approx(features[:, 0, :3].mean(1))


def test_too_few_pixels_in_all_or_features_that_are_no_numbers_are_refused():
    statistics = FeatureStatistics(THREE, 9)
    statistics.update(np.zeros((9, 2, 2)), np.zeros((2, 2), np.uint8))
    with pytest.raises(InputError, match="too few"):
        fit_gaussians(statistics)
    statistics = FeatureStatistics(THREE, 1)
    statistics.update(np.full((1, 4, 4), np.inf), np.zeros((4, 4), np.uint8))
    with pytest.raises(InputError, match="not finite"):
        fit_gaussians(statistics)


def test_the_least_jitter_that_works_is_taken():
    sound = np.diag([1.0, 2.0])
    assert cholesky(sound)[1] == 0
    dead = np.diag([1.0, 1.0, 0.0])
    factor, jitter = cholesky(dead)
    assert 0 < jitter < 1e-7
    assert np.isfinite(factor).all()
    values = np.linalg.eigvalsh(factor @ factor.T)
    assert values[-1] / values[0] <= LARGEST_CONDITION * 1.01
    smaller = np.linalg.eigvalsh(dead + jitter / 10 * np.eye(3))
    assert smaller[-1] / smaller[0] > LARGEST_CONDITION
    assert cholesky(np.zeros((2, 2)))[1] > 0


def filled(statistics: FeatureStatistics, components: int | None, step: int) -> tuple[LogDensity, object]:
    gaussians = fit_gaussians(statistics, components)
    module = LogDensity(
        None,
        SimpleNamespace(feature_channels=len(statistics.groups[0].mean)),
        {"groups": len(gaussians.names), "components": gaussians.means.shape[1], "step": step},
    )
    module.fill(gaussians)
    return module.eval(), gaussians


@pytest.mark.parametrize("offset", [0.0, 40.0])
@pytest.mark.parametrize("components", [None, 3])
@pytest.mark.parametrize("labels", [THREE, label_map("lane")])
def test_the_graphs_plane_is_the_density_in_single_precision(components, labels, offset):
    material = pictures(11, 7, count=6, offset=offset)
    if len(labels.classes) == 2:
        material = [(features, np.where(mask == 2, 1, mask).astype(np.uint8)) for features, mask in material]
    module, gaussians = filled(statistics_of(material, labels), components, 1)
    features = np.stack([material[0][0], material[1][0] * 2]).astype(np.float32)
    found = module({"features": torch.from_numpy(features)}).numpy()
    wanted = np.stack([gaussians.log_density(each) for each in features])
    low, high = np.percentile(wanted, (1, 99))
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() < 1e-3 * (high - low)


def test_one_class_with_reduced_features_multiplies_the_projection_in():
    material = [(features, np.zeros_like(mask)) for features, mask in pictures(4, 6)]
    module, gaussians = filled(statistics_of(material), 2, 1)
    assert not module.reduced
    features = material[0][0].astype(np.float32)
    found = module({"features": torch.from_numpy(features)[None]})[0].numpy()
    assert found == pytest.approx(gaussians.log_density(features), rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("step", [1, 2, 4])
def test_cells_lie_on_their_centres(step):
    # a ramp of pixel centres: the mean of a cell is its centre
    x = torch.arange(16, dtype=torch.float32) + 0.5
    ramp = torch.stack([x.expand(8, 16), (torch.arange(8) + 0.5)[:, None].expand(8, 16)])[None]
    cells = Cells(2, step)(ramp)
    assert cells.shape == (1, 2, 8 // step, 16 // step)
    assert cells[0, 0, 0].tolist() == [step * (i + 0.5) for i in range(16 // step)]
    assert cells[0, 1, :, 0].tolist() == [step * (i + 0.5) for i in range(8 // step)]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.booleans())
def test_the_graphs_entropy_and_energy_are_the_formulas(seed, classes, multilabel):
    rng = np.random.default_rng(seed)
    logits = (rng.standard_normal((2, classes, 3, 4)) * rng.choice([0.1, 3, 60])).astype(np.float32)
    spec = SimpleNamespace(label_map=SimpleNamespace(multilabel=multilabel))
    found = {"logits": torch.from_numpy(logits)}
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(1, keepdims=True))
    planes = 1 / (1 + np.exp(-wide)) if multilabel else powers / powers.sum(1, keepdims=True)
    wanted = np.stack([entropy(each, bernoulli=multilabel) for each in planes])
    assert Entropy(spec, None, {})(found).numpy() == pytest.approx(wanted, abs=1e-5)
    wanted = np.stack([energy(each, multilabel=multilabel) for each in wide])
    assert Energy(spec, None, {})(found).numpy() == pytest.approx(wanted, rel=1e-5, abs=1e-5)


def test_neco_is_the_share_of_the_norm_in_the_principal_space():
    rng = np.random.default_rng(1)
    # two strong directions in five channels, one channel dead
    base = rng.standard_normal((2, 400))
    features = np.tensordot(rng.standard_normal((5, 2)), base, 1) + 0.05 * rng.standard_normal((5, 400)) + 7
    features[4] = 3.0
    space = principal_space(Moments.of(features.T))
    assert len(space.components) == 2
    standard = (features - features.mean(1, keepdims=True)) / np.where(
        features.std(1, ddof=1, keepdims=True) > 0, features.std(1, ddof=1, keepdims=True), 1
    )
    _, _, directions = np.linalg.svd(standard.T, full_matrices=False)
    wanted = np.linalg.norm(directions[:2] @ standard, axis=0) / np.linalg.norm(standard, axis=0)
    assert space.neco(features) == pytest.approx(wanted, abs=1e-9)
    outside = np.linalg.svd(space.components)[2][2:3].T
    strange = features[:, :1] + 50 * outside
    assert space.neco(strange)[0] < space.neco(features).min()
    module = Neco(None, SimpleNamespace(feature_channels=5), {"components": 2, "step": 1})
    module.fill(space)
    plane = module({"features": torch.from_numpy(features.astype(np.float32)).reshape(1, 5, 20, 20)})
    assert plane[0].numpy().ravel() == pytest.approx(wanted, abs=1e-4)
