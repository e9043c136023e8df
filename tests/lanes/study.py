"""The study of docs/lanes.md: how good lines are on procedural scenes, and what their confidence is fitted to.

python tests/lanes/study.py --seed 9000 --scenes 200
python tests/lanes/study.py --seed 1000 --scenes 250 --fit
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

import lanecli
from lanecli.data.synth import render_scene
from lanecli.data.synth.scene import SyntheticLane
from lanecli.geometry import Size
from lanecli.labelmaps import label_map
from lanecli.lanes import find
from lanecli.lanes.confidence import COEFFICIENTS, NAMES, features
from lanecli.media import Frame
from lanecli.metrics import lane_scores, tusimple
from lanecli.metrics.lane_scores import TusimpleScore

LANE = label_map("lane")
MASKS = ("exact", "damaged", "model")
_SEEN_ROWS, _SEEN_SHARE = 0.02, 0.05  # paint, of the picture's height and of a line's rows, that makes it seen
_RIDGE = 1e-2  # of the fit's coefficients, against cross-entropy summed over lines


@dataclass(frozen=True)
class Case:
    """A scene: its picture, its true lines, which of them show paint, and a mask of each kind."""

    size: Size
    picture: np.ndarray | None
    lines: tuple[SyntheticLane, ...]
    seen: tuple[bool, ...]
    masks: dict[str, np.ndarray]


@dataclass(frozen=True)
class Found:
    """A line before doubtful ones are left out: features, confidence, IoU with the nearest true line, kind of mask."""

    features: np.ndarray
    confidence: float
    iou: float
    kind: str


def cases(first: int, count: int, size: Size, model: Callable[[np.ndarray], np.ndarray]) -> Iterator[Case]:
    """Scenes of the seeds from `first` on; `model` gives the mask of a picture."""
    for seed in range(first, first + count):
        scene = render_scene(seed, size)
        damaged = damage(scene.mask, np.random.default_rng(seed))
        masks = dict(zip(MASKS, (scene.mask, damaged, model(scene.image)), strict=True))
        yield Case(size, scene.image, scene.lanes, seen_lines(scene.lanes, scene.mask), masks)


def seen_lines(lines: Sequence[SyntheticLane], mask: np.ndarray) -> tuple[bool, ...]:
    """Which lines have paint of their own, where no other line lies beside them, in enough of their rows."""
    height, width = mask.shape
    reach = max(2, round(0.006 * width))
    grown = cv2.dilate(mask, np.ones((1, 2 * reach + 1), np.uint8))
    rows = np.arange(height)
    x = np.array([lane_scores.at_rows(line.points, rows) for line in lines]).reshape(-1, height)
    present = x != -2
    found = []
    for number in range(len(lines)):
        others = np.delete(np.arange(len(lines)), number)
        beside = (present[others] & (np.abs(x[others] - x[number]) < 2 * reach)).any(0)
        columns = np.clip(np.rint(x[number]), 0, width - 1).astype(int)
        painted = int((present[number] & ~beside & (grown[rows, columns] > 0)).sum())
        found.append(painted >= max(_SEEN_ROWS * height, _SEEN_SHARE * present[number].sum()))
    return tuple(found)


def damage(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A mask as a network might give it: ragged, grown, partly hidden, cut off, with false strokes."""
    height, width = mask.shape
    noise = cv2.GaussianBlur(rng.normal(size=mask.shape), (0, 0), 2) * 6
    soft = cv2.GaussianBlur(mask.astype(np.float64), (0, 0), rng.uniform(0.5, 1.5))
    bad = (soft + rng.uniform(0, 0.25) * noise > rng.uniform(0.25, 0.6)).astype(np.uint8)
    if rng.random() < 0.3:
        bad = cv2.dilate(bad, np.ones((3, 3), np.uint8))
    for _ in range(rng.integers(0, 4)):  # vehicles, shadows
        w, h = (rng.uniform(0.05, 0.3, 2) * (width, height)).astype(int)
        x, y = int(rng.uniform(0, width - w)), int(rng.uniform(0.4 * height, height - h))
        bad[y : y + h, x : x + w] = 0
    if rng.random() < 0.3:
        bad[int(rng.uniform(0.75, 0.95) * height) :] = 0
    if rng.random() < 0.2:
        bad[: int(rng.uniform(0.5, 0.7) * height)] = 0
    for _ in range(rng.integers(0, 4)):
        start = rng.uniform((0, 0.5 * height), (width, height))
        end = start + rng.normal(size=2) * (0.12 * width, 0.12 * height)
        line = [tuple(np.rint(point).astype(int).tolist()) for point in (start, end)]
        cv2.line(bad, line[0], line[1], 1, int(rng.integers(1, 6)))
    return bad


def best_iou(points: np.ndarray, truth: Sequence[np.ndarray], size: Size) -> float:
    """IoU of a line with the nearest true one, both 30 px thick where pictures are 1640 px wide."""
    thick = max(1, round(30 * size[0] / 1640))
    drawn = [_drawn(line, size, thick) for line in (points, *truth)]
    return max(((drawn[0] & other).sum() / max(1, (drawn[0] | other).sum()) for other in drawn[1:]), default=0.0)


def _drawn(points: np.ndarray, size: Size, thick: int) -> np.ndarray:
    canvas = np.zeros(size[::-1], np.uint8)
    cv2.polylines(canvas, [np.round(points * 8).astype(np.int32)], False, 1, thick, shift=3)
    return canvas.astype(bool)


def found_lines(case: Case) -> Iterator[Found]:
    """Every line of every mask of a case."""
    truth = [line.points for line in case.lines]
    for kind, mask in case.masks.items():
        traced, _ = find.trace_lines(mask, None, (1,), LANE)
        if traced is None:
            continue
        rows = features(traced.evidence, traced.curves, case.size, traced.kept)
        for line, points in find.polylines(traced, traced.kept, case.size).items():
            confidence = 1 / (1 + np.exp(-rows[line] @ COEFFICIENTS))
            yield Found(rows[line], float(confidence), best_iou(points, truth, case.size), kind)


def fit(found: Sequence[Found]) -> np.ndarray:
    """Coefficients of least cross-entropy between confidence and IoU, by Newton's method."""
    x, y = np.array([line.features for line in found]), np.array([line.iou for line in found])
    weights = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ weights))
        curvature = (x * (p * (1 - p))[:, None]).T @ x + _RIDGE * np.eye(len(weights))
        weights = weights - np.linalg.solve(curvature, x.T @ (p - y) + _RIDGE * weights)
    return weights


def calibration(found: Sequence[Found]) -> str:
    """Confidence → mean IoU (lines) in each tenth, and the rank correlation of the two, of lines that are given."""
    given = [line for line in found if line.confidence >= find.LEAST_CONFIDENCE]
    if len(given) < 3:
        return "too few lines"
    p, y = np.array([line.confidence for line in given]), np.array([line.iou for line in given])
    tenth = np.minimum((p * 10).astype(int), 9)
    cells = [
        f"{p[tenth == t].mean():.2f} → {y[tenth == t].mean():.2f} ({(tenth == t).sum()})"
        for t in range(2, 10)
        if (tenth == t).any()
    ]
    ranks = [np.argsort(np.argsort(values)) for values in (p, y)]
    return " | ".join([*cells, f"rank {np.corrcoef(*ranks)[0, 1]:.2f}", f"lines {len(given)}"])


def scores(all_cases: Sequence[Case], kind: str) -> str:
    """TuSimple's accuracy, FP and FN where true lines that nobody can see are left out, and where they are not.

    In the former a found line that lies on a hidden true one counts as neither right nor false, and FP is the share
    of lines that fit no true one: the official figure turns negative where one line serves several true ones.
    """
    seen, everything = TusimpleScore(), TusimpleScore()
    false = []
    for case in all_cases:
        points = [lane.points for lane in find.find_lanes(case.masks[kind], LANE)]
        truth = [line.points for line in case.lines]
        everything.update(points, truth, case.size)
        fits = np.array([[_fits(line, other, case.size) for other in truth] for line in points])
        fits = fits.reshape(len(points), len(truth))
        shown = np.array(case.seen, bool)
        counted = [line for line, fit in zip(points, fits, strict=True) if fit[shown].any() or not fit.any()]
        if shown.any():  # the benchmark has no picture without a line, and would give it an accuracy of 0
            seen.update(counted, [line for line, kept in zip(truth, shown, strict=True) if kept], case.size)
        false.append(float((~fits.any(1)).sum()) / max(1, len(points)))
    one, other = seen.scores(), everything.scores()
    return (
        f"seen: accuracy {one['accuracy']:.3f} FP {np.mean(false):.3f} FN {one['fn']:.3f}; "
        f"all: accuracy {other['accuracy']:.3f} FP {other['fp']:.3f} FN {other['fn']:.3f}"
    )


def _fits(line: np.ndarray, true: np.ndarray, size: Size) -> bool:
    """Whether TuSimple's rule finds a true line by this one."""
    rows = lane_scores.TUSIMPLE_ROWS
    found, other = (lane_scores.at_rows(each, rows) for each in lane_scores.scaled([line, true], size, (1280, 720)))
    return tusimple.count_picture([found], [other], rows)[2] == 0


def steadiness(all_cases: Sequence[Case]) -> str:
    """How far lines of exact masks move with a mask that moves by a pixel, to the right or down."""
    moved = []
    for case in all_cases:
        mask = case.masks["exact"]
        before = find.find_lanes(mask, LANE)
        for shift in ((1, 0), (0, 1)):
            matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], float)
            after = find.find_lanes(cv2.warpAffine(mask, matrix, case.size, flags=cv2.INTER_NEAREST), LANE)
            moved += [min((_apart(old.points + shift, new.points) for new in after), default=np.inf) for old in before]
    share = np.mean(np.array(moved) < 1.5)
    return f"moved masks: {share:.3f} of {len(moved)} lines within 1.5 px, median {np.median(moved):.2f}"


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    """Largest horizontal distance of two lines in the rows that both have; infinite where they share few."""
    rows = one[(one[:, 1] <= other[0, 1]) & (one[:, 1] >= other[-1, 1])]
    if len(rows) < len(one) // 2 + 1:
        return float("inf")
    return float(np.abs(np.interp(rows[:, 1], other[::-1, 1], other[::-1, 0]) - rows[:, 0]).max())


def looks(all_cases: Sequence[Case]) -> str:
    """How many lines of exact masks that fit a true one have its style, and its colour."""
    right = {"style": 0, "colour": 0}
    total = 0
    for case in all_cases:
        frame = None if case.picture is None else Frame.from_rgb(case.picture)
        for lane in find.find_lanes(case.masks["exact"], LANE, picture=frame):
            true = [line for line in case.lines if _fits(lane.points, line.points, case.size)]
            if len(true) != 1:
                continue
            total += 1
            style = {"solid-dashed": "double", "dots": "dashed"}.get(true[0].style, true[0].style)
            right["style"] += lane.style == style
            right["colour"] += lane.color == true[0].colour
    return f"of {total} lines that fit one true line: style right {right['style']}, colour {right['colour']}"


def shipped() -> Callable[[np.ndarray], np.ndarray]:
    """The shipped model's mask of a picture."""
    model = lanecli.load()
    return lambda picture: model.predict(picture).class_map


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=9000)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--size", default="960x540")
    parser.add_argument("--fit", action="store_true", help="print coefficients fitted to these scenes")
    asked = parser.parse_args()
    width, height = (int(side) for side in asked.size.split("x"))
    report(list(cases(asked.seed, asked.scenes, (width, height), shipped())), with_fit=asked.fit)


def report(all_cases: Sequence[Case], *, with_fit: bool = False) -> None:
    """Print the figures of these cases."""
    found = [line for case in all_cases for line in found_lines(case)]
    for kind in MASKS:
        print(f"{kind}: {scores(all_cases, kind)}")
        print(f"  {calibration([line for line in found if line.kind == kind])}")
    print(f"all: {calibration(found)}\n{steadiness(all_cases)}\n{looks(all_cases)}")
    if with_fit:
        for name, value in zip(NAMES, fit(found), strict=True):
            print(f"{name:12s} {value:.4f}")


if __name__ == "__main__":
    main()
