"""The order in which `std::sort` of GNU's C++ library leaves equal values: it is not stable."""

from __future__ import annotations

from collections.abc import Sequence

_SMALL = 16


def order_by(keys: Sequence[float]) -> list[int]:
    """Return the indices of `keys` in the order of an unstable introsort by ascending key.

    Up to 16 values are sorted by insertion, which keeps equal ones in their order. More values are first split around
    the median of three until no part is longer than 16.
    """
    if len(keys) <= _SMALL or len(set(keys)) == len(keys):
        return sorted(range(len(keys)), key=keys.__getitem__)
    order = list(range(len(keys)))
    _split(order, keys, 0, len(order), 2 * (len(order).bit_length() - 1))
    _insert(order, keys)
    return order


def _split(order: list[int], keys: Sequence[float], first: int, last: int, depth: int) -> None:
    while last - first > _SMALL:
        if depth == 0:
            _heap_sort(order, keys, first, last)
            return
        depth -= 1
        cut = _partition(order, keys, first, last)
        _split(order, keys, cut, last, depth)
        last = cut


def _partition(order: list[int], keys: Sequence[float], first: int, last: int) -> int:
    """Move the median of the second, middle and last value to the front, then partition the rest around it."""
    a, b, c = first + 1, first + (last - first) // 2, last - 1
    ka, kb, kc = keys[order[a]], keys[order[b]], keys[order[c]]
    median = (b if kb < kc else c if ka < kc else a) if ka < kb else (a if ka < kc else c if kb < kc else b)
    order[first], order[median] = order[median], order[first]
    pivot = keys[order[first]]
    low, high = first + 1, last
    while True:
        while keys[order[low]] < pivot:
            low += 1
        high -= 1
        while pivot < keys[order[high]]:
            high -= 1
        if not low < high:
            return low
        order[low], order[high] = order[high], order[low]
        low += 1


def _insert(order: list[int], keys: Sequence[float]) -> None:
    """Sort by insertion; equal values keep their order."""
    for i in range(1, len(order)):
        moving, j = order[i], i
        while j and keys[moving] < keys[order[j - 1]]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = moving


def _heap_sort(order: list[int], keys: Sequence[float], first: int, last: int) -> None:
    """Sort by heap: introsort's fallback when the splits are too uneven."""
    part = order[first:last]

    def sift(hole: int, length: int, value: int) -> None:
        top, child = hole, hole
        while child < (length - 1) // 2:
            child = 2 * (child + 1)
            if keys[part[child]] < keys[part[child - 1]]:
                child -= 1
            part[hole] = part[child]
            hole = child
        if length % 2 == 0 and child == (length - 2) // 2:
            child = 2 * (child + 1)
            part[hole] = part[child - 1]
            hole = child - 1
        parent = (hole - 1) // 2
        while hole > top and keys[part[parent]] < keys[value]:
            part[hole] = part[parent]
            hole, parent = parent, (parent - 1) // 2
        part[hole] = value

    for start in range((len(part) - 2) // 2, -1, -1):
        sift(start, len(part), part[start])
    for end in range(len(part) - 1, 0, -1):
        value, part[end] = part[end], part[0]
        sift(0, end, value)
    order[first:last] = part
