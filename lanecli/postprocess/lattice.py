"""Gaussian filtering of scattered points in many dimensions on the permutohedral lattice.

Adams, Baek & Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice", Eurographics 2010. Space is
divided into simplices of d + 1 corners. A point's value is divided among the corners of its simplex, corners are
blurred with their neighbours along d + 1 directions, and values are read back with the same shares. Only corners next
to a point are kept, so what is blurred into empty space is lost, as in the authors' own implementation.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lanecli.errors import InputError

Floats = NDArray[np.float32]


class Lattice:
    """Points in d dimensions, ready to be filtered with a Gaussian of standard deviation one."""

    def __init__(self, points: Floats) -> None:
        """Find each point's simplex.

        Args:
            points: (d, N) float32, in standard deviations of the Gaussian.

        Raises:
            InputError: the points are spread over more cells than can be numbered.
        """
        dimensions, _ = points.shape
        corners = dimensions + 1
        nearest, rank, self._shares = _simplices(points)
        low = nearest[:dimensions].min(axis=1) - 2 * corners
        span = nearest[:dimensions].max(axis=1) + 2 * corners + 1 - low
        orders = corners**dimensions
        if math.prod(int(s) for s in span) * orders >= 1 << 62:
            raise InputError("the picture is spread over too many cells: use larger standard deviations")
        steps = np.array([math.prod(int(s) for s in span[i + 1 :]) for i in range(dimensions)], np.int64)
        origin = (steps[:, None] * (nearest[:dimensions] - low[:, None])).sum(axis=0)
        # a simplex is its corner of remainder zero and the order of coordinates: there are far fewer than points
        code = origin * orders + (corners ** np.arange(dimensions)[:, None] * rank[:dimensions]).sum(axis=0)
        _, first, simplex = np.unique(code, return_index=True, return_inverse=True)
        remainder = np.arange(corners)[:, None, None]
        offset = np.where(rank[:dimensions, first] < corners - remainder, remainder, remainder - corners)
        keys = origin[first] + (offset * steps[:, None]).sum(axis=1)
        vertices, index = np.unique(keys, return_inverse=True)
        self._index = index.reshape(keys.shape).astype(np.int32)[:, simplex]
        self.vertices = len(vertices)
        along = np.concatenate([corners * steps, [0]]) - steps.sum()
        self._neighbours = [(_find(vertices, vertices + s), _find(vertices, vertices - s)) for s in along]

    def splat(self, values: Floats, points: slice = slice(None)) -> Floats:
        """Return (K, vertices) sums of (K, n) float32 values of some points."""
        index, shares = self._index[:, points].ravel(), self._shares[:, points]
        sums = [np.bincount(index, (shares * row).ravel(), self.vertices) for row in values]
        return np.asarray(sums, np.float32)

    def blur(self, sums: Floats) -> Floats:
        """Return (K, vertices) sums, blurred by (1, 2, 1) / 4 along each direction."""
        for one, other in self._neighbours:
            padded = np.pad(sums, ((0, 0), (0, 1)))  # the last one stands for every vertex that does not exist
            sums = np.float32(0.5) * sums + np.float32(0.25) * (padded[:, one] + padded[:, other])
        return sums

    def read(self, sums: Floats, points: slice = slice(None)) -> Floats:
        """Return (K, n) values of some points from (K, vertices) sums."""
        index, shares = self._index[:, points], self._shares[:, points]
        return np.stack([np.einsum("cn,cn->n", shares, row[index]) for row in sums])


def _simplices(points: Floats) -> tuple[NDArray[np.int32], NDArray[np.int32], Floats]:
    """Return each point's simplex: the corner of remainder zero (d + 1, N), ranks of coordinates, corners' shares."""
    dimensions, count = points.shape
    corners = dimensions + 1
    # splatting, blurring and reading together have this standard deviation in lattice units
    spread = math.sqrt(2 / 3) * corners
    lifted = np.empty((corners, count), np.float32)
    total = np.zeros(count, np.float32)
    for i in range(dimensions, 0, -1):
        scaled = points[i - 1] * np.float32(spread / math.sqrt(i * (i + 1)))
        lifted[i] = total - i * scaled
        total = total + scaled
    lifted[0] = total
    cell = np.rint(lifted / corners).astype(np.int32)
    surplus = cell.sum(axis=0, dtype=np.int32)
    rest = lifted - corners * cell
    rank = np.zeros((corners, count), np.int32)
    for i in range(corners):
        for j in range(i + 1, corners):
            below = rest[i] < rest[j]
            rank[i] += below
            rank[j] += ~below
    # where the surplus is not zero, rounding left the plane: undo it for the coordinates that were rounded furthest
    rank += surplus
    under, over = rank < 0, rank >= corners
    cell += under
    cell -= over
    rank += corners * under
    rank -= corners * over
    part = ((lifted - corners * cell) / corners).astype(np.float32)
    shares = np.zeros((corners + 1, count), np.float32)
    column = np.arange(count)
    for i in range(corners):
        shares[dimensions - rank[i], column] += part[i]
        shares[corners - rank[i], column] -= part[i]
    shares[0] += 1 + shares[corners]
    return corners * cell, rank, np.ascontiguousarray(shares[:corners])


def _find(vertices: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the index of each wanted key among the sorted vertices, or their number if it does not exist."""
    index = np.searchsorted(vertices, wanted)
    exists = vertices[np.minimum(index, len(vertices) - 1)] == wanted
    return np.where(exists, index, len(vertices)).astype(np.int32)
