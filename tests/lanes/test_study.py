"""The study of docs/lanes.md runs, and its parts mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
from lanes import study
from lanes.flat_roads import Line, Road

from lanecli.lanes.confidence import NAMES


def test_it_runs_and_fits(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    cases = list(study.cases(5, 2, (320, 180), lambda picture: (rng.random(picture.shape[:2]) < 0.01).astype(np.uint8)))
    study.report(cases, with_fit=True)
    text = capsys.readouterr().out
    for word in (*study.MASKS, *NAMES, "accuracy", "moved masks", "style right"):
        assert word in text


def test_the_fit_gives_back_the_formula_it_was_made_from() -> None:
    rng = np.random.default_rng(1)
    wanted = np.array([0.5, -1.0, 2.0])
    x = np.column_stack([np.ones(4000), rng.normal(size=(4000, 2))])
    y = 1 / (1 + np.exp(-x @ wanted))
    found = [study.Found(row, 0.0, float(value), "exact") for row, value in zip(x, y, strict=True)]
    np.testing.assert_allclose(study.fit(found), wanted, atol=0.01)


def test_iou_of_drawn_lines() -> None:
    line = np.array([[100.0, 99.0], [100.0, 0.0]])
    aside = line + np.array([50, 0])
    assert study.best_iou(line, [line, aside], (164, 100)) == 1
    assert study.best_iou(line, [aside], (164, 100)) == 0
    assert study.best_iou(line, [], (164, 100)) == 0


def test_a_line_without_paint_is_not_seen() -> None:
    road = Road(lines=(Line(-1.2), Line(1.2)))
    points = [road.truth(line) for line in (*road.lines, Line(3.0))]
    lines = [study.SyntheticLane(p.astype(float), "solid", "white") for p in points]
    assert study.seen_lines(lines, road.mask()) == (True, True, False)
