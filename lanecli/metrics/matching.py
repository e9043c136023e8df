"""Who is matched with whom: the assignment of CULane's program, and an exact one."""

from __future__ import annotations

from collections.abc import Sequence

_SLACK = 0.01
_ENDLESS = 1e10


def slack_matching(similarity: Sequence[Sequence[float]]) -> list[int]:
    """The assignment of CULane's program: Kuhn-Munkres whose edges count as tight within 0.01.

    The smaller side (rows on a tie) looks for partners in index order, and takes the first tight one. The sum need not
    be the largest there is. NaN is never tight and is skipped in maxima and minima; whoever has nothing but NaN ends
    the search for all behind it.

    Args:
        similarity: one row for each true lane, one value for each predicted lane; neither is empty.

    Returns:
        The predicted lane of each true lane, -1 where it has none.
    """
    rows, columns = len(similarity), len(similarity[0])
    swapped = rows > columns
    edges = [[similarity[i][j] for i in range(rows)] for j in range(columns)] if swapped else similarity
    lefts, rights = len(edges), len(edges[0])
    left_of = [-1] * rights
    left_weight = [max((v for v in row if v == v), default=-1e5) for row in edges]
    right_weight = [0.0] * rights

    def augment(left: int) -> bool:
        left_seen[left] = True
        for right in range(rights):
            if not right_seen[right] and abs(left_weight[left] + right_weight[right] - edges[left][right]) < _SLACK:
                right_seen[right] = True
                if left_of[right] == -1 or augment(left_of[right]):
                    left_of[right] = left
                    return True
        return False

    for left in range(lefts):
        while True:
            left_seen, right_seen = [False] * lefts, [False] * rights
            if augment(left):
                break
            smallest = _ENDLESS
            for i in range(lefts):
                for j in range(rights):
                    if left_seen[i] and not right_seen[j]:
                        slack = left_weight[i] + right_weight[j] - edges[i][j]
                        smallest = slack if slack < smallest else smallest
            if smallest == _ENDLESS:
                return _partners(left_of, rows, swapped)
            for i in range(lefts):
                left_weight[i] -= smallest if left_seen[i] else 0.0
            for j in range(rights):
                right_weight[j] += smallest if right_seen[j] else 0.0
    return _partners(left_of, rows, swapped)


def _partners(left_of: list[int], rows: int, swapped: bool) -> list[int]:
    if swapped:
        return left_of
    found = [-1] * rows
    for right, left in enumerate(left_of):
        if left >= 0:
            found[left] = right
    return found
