"""The permutohedral lattice against every pair of points written out."""

from __future__ import annotations

import numpy as np
import pytest

from lanecli.errors import InputError
from lanecli.postprocess.lattice import Lattice


@pytest.mark.parametrize("dimensions", [1, 2, 3, 5])
def test_weighted_means_are_a_gaussians(dimensions: int) -> None:
    rng = np.random.default_rng(0)
    # dense enough for each point to have neighbours, and a field that varies over a standard deviation
    points = rng.uniform(0, 3, (dimensions, 3000)).astype(np.float32)
    field = np.sin(2 * points.sum(axis=0) / dimensions**0.5)
    apart = ((points[:, :, None] - points[:, None]) ** 2).sum(axis=0)
    kernel = np.exp(-apart / 2)
    exact = kernel @ field / kernel.sum(axis=1)
    assert np.abs(exact - field).mean() > 0.2
    lattice = Lattice(points)
    sums = lattice.read(lattice.blur(lattice.splat(np.stack([field, np.ones_like(field)]).astype(np.float32))))
    ours = sums[0] / sums[1]
    assert np.abs(ours - exact).mean() < 0.03
    assert np.abs(ours - exact).max() < 0.2


def test_shares_sum_to_one_and_some_points_are_some_of_all() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(0, 3, (5, 200)).astype(np.float32)
    values = rng.random((2, 200), dtype=np.float32)
    lattice = Lattice(points)
    sums = lattice.splat(values)
    np.testing.assert_allclose(sums.sum(axis=1), values.sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(lattice.read(np.ones_like(sums)), 1, atol=1e-5)
    first, rest = slice(0, 50), slice(50, None)
    np.testing.assert_allclose(
        lattice.splat(values[:, first], first) + lattice.splat(values[:, rest], rest), sums, atol=1e-5
    )
    np.testing.assert_array_equal(lattice.read(sums, first), lattice.read(sums)[:, first])


def test_points_far_apart_do_not_meet() -> None:
    points = np.array([[0.0, 40.0], [0.0, -40.0]], np.float32)
    lattice = Lattice(points)
    alone = lattice.read(lattice.blur(lattice.splat(np.array([[1.0, 0.0]], np.float32))))
    assert alone[0, 0] > 0.1
    assert alone[0, 1] == 0


def test_too_many_cells_to_number() -> None:
    with pytest.raises(InputError, match="larger standard deviations"):
        Lattice(np.eye(5, dtype=np.float32) * 1e7)
