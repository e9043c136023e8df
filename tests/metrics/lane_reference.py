"""Slow scores written from the published rules alone, to hold the quick ones to; nothing of theirs is used here."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

Points = list[tuple[float, float]]


def draw_lane(points: np.ndarray, width: int, size: tuple[int, int]) -> np.ndarray:
    """A polyline of whole pixels: a filled rectangle for each piece and a filled disc at both of its ends.

    The rectangle's corners are the ends plus and minus half the width across the piece, in 1/65536 of a pixel. OpenCV
    fills convex polygons of such corners as its version 4 does inside `cv2.line`; version 5's `cv2.line` does not.
    """
    mask = np.zeros(size[::-1], np.uint8)
    half, radius = (width + width % 2) / 2, (width + 1) // 2
    for (x0, y0), (x1, y1) in zip(points[:-1].tolist(), points[1:].tolist(), strict=True):
        length = math.hypot(x1 - x0, y1 - y0)
        if length:
            across = round((y1 - y0) * half * 65536 / length), round((x0 - x1) * half * 65536 / length)
            ends = [(x << 16, y << 16) for x, y in ((x0, y0), (x1, y1))]
            corners = [
                (x + s * across[0], y + s * across[1]) for (x, y), s in zip((ends[0],) * 2, (1, -1), strict=True)
            ]
            corners += [
                (x + s * across[0], y + s * across[1]) for (x, y), s in zip((ends[1],) * 2, (-1, 1), strict=True)
            ]
            cv2.fillConvexPoly(mask, np.array(corners, np.int32), 1, 8, 16)
        for center in ((x0, y0), (x1, y1)):
            cv2.circle(mask, center, radius, 1, -1)
    return mask.astype(bool)


def natural_spline(points: Sequence[tuple[float, float]], steps: int = 50) -> np.ndarray:
    """`steps` samples a gap and the last point of the natural cubic spline over chord length: one dense system."""
    values = np.array(points, np.float64)
    n = len(values)
    where = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(values, axis=0).T))])
    h = np.diff(where)
    system, right = np.eye(n), np.zeros((n, 2))
    for i in range(1, n - 1):
        system[i, i - 1 : i + 2] = h[i - 1] / 6, (h[i - 1] + h[i]) / 3, h[i] / 6
        right[i] = (values[i + 1] - values[i]) / h[i] - (values[i] - values[i - 1]) / h[i - 1]
    bend = np.linalg.solve(system, right)
    samples = []
    for i in range(n - 1):
        for k in range(steps):
            b = k / steps
            a = 1 - b
            samples.append(
                a * values[i] + b * values[i + 1] + ((a**3 - a) * bend[i] + (b**3 - b) * bend[i + 1]) * h[i] ** 2 / 6
            )
    return np.array([*samples, values[-1]])


def slack_match(similarity: list[list[float]]) -> list[int]:
    """The partner of each row: alternating trees over all edges whose slack is under 0.01, first come first served."""
    if len(similarity) > len(similarity[0]):
        columns = [list(column) for column in zip(*similarity, strict=True)]
        partner = slack_match(columns)
        return [partner.index(i) if i in partner else -1 for i in range(len(similarity))]
    n, m = len(similarity), len(similarity[0])
    price = {("row", i): max([v for v in similarity[i] if not math.isnan(v)], default=-1e5) for i in range(n)}
    price |= {("column", j): 0.0 for j in range(m)}
    owner: dict[int, int] = {}

    def slack(i: int, j: int) -> float:
        return price["row", i] + price["column", j] - similarity[i][j]

    def place(i: int, rows: list[int], columns: list[int]) -> bool:
        rows.append(i)
        for j in range(m):
            if j not in columns and abs(slack(i, j)) < 0.01:
                columns.append(j)
                if j not in owner or place(owner[j], rows, columns):
                    owner[j] = i
                    return True
        return False

    for i in range(n):
        while True:
            rows: list[int] = []
            columns: list[int] = []
            if place(i, rows, columns):
                break
            gaps = [slack(a, j) for a in rows for j in range(m) if j not in columns]
            gaps = [gap for gap in gaps if not math.isnan(gap)]
            if not gaps:
                return [next((j for j, a in owner.items() if a == k), -1) for k in range(n)]
            for a in rows:
                price["row", a] -= min(gaps)
            for j in columns:
                price["column", j] += min(gaps)
    return [next((j for j, a in owner.items() if a == k), -1) for k in range(n)]


def read_line(line: bytes) -> Points:
    """Pairs of numbers of a line, character by character, until one cannot be read."""
    place, numbers = 0, []
    while True:
        while place < len(line) and line[place : place + 1] in b" \t\n\v\f\r":
            place += 1
        text = b""
        digits = point = exponent = False
        while place < len(line):
            char = line[place : place + 1]
            if char in b"+-":
                if text and text[-1:] not in b"eE":
                    break
            elif char == b".":
                if point or exponent:
                    break
                point = True
            elif char in b"eE":
                if exponent or not digits:
                    break
                exponent = True
            elif char in b"0123456789":
                digits = True
            else:
                break
            text += char
            place += 1
        try:
            value = float(text)
        except ValueError:
            break
        if math.isinf(value):
            break
        numbers.append(value)
    return list(zip(numbers[::2], numbers[1::2], strict=False))


def tusimple_picture(
    predicted: list[list[float]], truth: list[list[float]], rows: list[float], run_time: float
) -> tuple[float, float, float]:
    """TuSimple's three figures of a picture, point by point."""
    if run_time > 200 or len(predicted) > len(truth) + 2:
        return 0.0, 0.0, 1.0
    shares = []
    for lane in truth:
        seen = [(x, y) for x, y in zip(lane, rows, strict=True) if x >= 0]
        angle = 0.0
        if len(seen) >= 2:
            xs, ys = [x for x, _ in seen], [y for _, y in seen]
            angle = math.atan(np.linalg.lstsq(np.stack([ys, np.ones(len(ys))], 1), np.array(xs), rcond=None)[0][0])
        best = 0.0
        for guess in predicted:
            right = 0
            for x, g in zip(lane, guess, strict=True):
                x, g = x if x >= 0 else -100, g if g >= 0 else -100
                right += abs(x - g) < 20 / math.cos(angle)
            best = max(best, right / len(rows))
        shares.append(best)
    missed = sum(share < 0.85 for share in shares)
    invented = len(predicted) - (len(truth) - missed)
    total = sum(shares)
    if len(truth) >= 5:
        missed = max(missed - 1, 0)
        total -= min(shares)
    divisor = max(min(len(truth), 4), 1)
    return total / divisor, invented / len(predicted) if predicted else 0.0, missed / divisor
