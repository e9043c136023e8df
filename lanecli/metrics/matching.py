"""Matches true lanes with predicted ones: the assignment of CULane's program, and an exact one."""

from __future__ import annotations

from collections.abc import Sequence

_SLACK = 0.01
_ENDLESS = 1e10


def slack_matching(similarity: Sequence[Sequence[float]]) -> list[int]:
    """Return the assignment of CULane's program: Kuhn-Munkres in which edges count as tight within 0.01.

    The smaller side (rows if both are equal) looks for partners in index order and takes the first tight one. The sum
    need not be the largest possible. NaN is never tight and is skipped in maxima and minima. An element of the smaller
    side that has nothing but NaN ends the search for all that come after it.

    Args:
        similarity: one row for each true lane, one value for each predicted lane; neither side is empty.

    Returns:
        The predicted lane of each true lane, -1 if it has none.

    Example:
        >>> slack_matching([[0.9, 0.1], [0.8, 0.7]])
        [0, 1]
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
    partners = [-1] * rows
    for right, left in enumerate(left_of):
        if left >= 0:
            partners[left] = right
    return partners


def exact_matching(cost: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Return the assignment of least cost, by shortest augmenting paths.

    Of several equally good ones, it is the one SciPy's `linear_sum_assignment` finds (D. F. Crouse, "On implementing 2D
    rectangular assignment algorithms", IEEE Transactions on Aerospace and Electronic Systems 52, 2016).

    Args:
        cost: a rectangle of finite numbers, not empty.

    Returns:
        Pairs of row and column, as many as the smaller side has.

    Example:
        >>> exact_matching([[1.0, 2.0], [1.0, 5.0]])
        [(0, 1), (1, 0)]
    """
    tall = len(cost) > len(cost[0])
    matrix = [list(column) for column in zip(*cost, strict=True)] if tall else cost
    rows, columns = len(matrix), len(matrix[0])
    endless = float("inf")
    row_price, column_price = [0.0] * rows, [0.0] * columns
    column_of, row_of = [-1] * rows, [-1] * columns
    for start in range(rows):
        shortest, path = [endless] * columns, [-1] * columns
        seen_rows: set[int] = set()
        seen_columns: list[int] = []
        unvisited = list(range(columns - 1, -1, -1))
        reached, row, sink = 0.0, start, -1
        while sink < 0:
            seen_rows.add(row)
            nearest, chosen = endless, -1
            for index, column in enumerate(unvisited):
                length = reached + matrix[row][column] - row_price[row] - column_price[column]
                if length < shortest[column]:
                    path[column], shortest[column] = row, length
                if shortest[column] < nearest or (shortest[column] == nearest and row_of[column] < 0):
                    nearest, chosen = shortest[column], index
            reached = nearest
            column = unvisited[chosen]
            seen_columns.append(column)
            unvisited[chosen] = unvisited[-1]
            unvisited.pop()
            if row_of[column] < 0:
                sink = column
            else:
                row = row_of[column]
        row_price[start] += reached
        for row in seen_rows - {start}:
            row_price[row] += reached - shortest[column_of[row]]
        for column in seen_columns:
            column_price[column] -= reached - shortest[column]
        column = sink
        while True:
            row = path[column]
            row_of[column] = row
            column_of[row], column = column, column_of[row]
            if row == start:
                break
    pairs = list(enumerate(column_of))
    return sorted((column, row) for row, column in pairs) if tall else pairs
