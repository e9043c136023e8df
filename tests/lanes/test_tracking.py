"""Lane lines over the frames of a video."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from lanes.flat_roads import Line, Road, error

from lanecli.labelmaps import label_map
from lanecli.lanes import Lane, LaneTracker, tracking
from lanecli.lanes.find import find_lanes_and_view
from lanecli.media import Frame

LANE = label_map("lane")
RATE = 20.0
PICTURE = np.full((352, 640, 3), 90, np.uint8)


def frame(number: int, picture: np.ndarray = PICTURE, rate: float = RATE) -> Frame:
    return Frame.from_rgb(picture, number, number, Fraction(1, int(rate)))


def road(shift: float = 0.0, phase: float = 0.0) -> Road:
    lines = tuple(Line(u - shift, period=8.5, dash=3.0, phase=phase) for u in (-3.6, -1.2, 1.2, 3.6))
    return Road(lines=lines)


def by_role(lanes: tuple[Lane, ...]) -> dict[str | None, Lane]:
    return {lane.role: lane for lane in lanes}


def test_identities_last_and_a_missed_frame_does_not_flicker() -> None:
    tracker = LaneTracker(RATE)
    seen = []
    for number in range(30):
        mask = road(0.01 * number, phase=-0.8 * number).mask()
        if number in (9, 17):
            mask[:] = 0
        if number == 22:
            mask[:, :320] = 0
        lanes = tracker.find(mask, LANE, frame(number))
        seen.append({role: lane.id for role, lane in by_role(lanes).items()})
        assert len({lane.id for lane in lanes}) == len(lanes)
    for role in ("ego-left", "ego-right"):
        assert {ids.get(role) for ids in seen} == {seen[0][role]}


def test_a_line_that_is_gone_fades_and_goes() -> None:
    tracker = LaneTracker(RATE)
    for number in range(10):
        before = tracker.find(road().mask(), LANE, frame(number))
    mask = road().mask()
    mask[:, 320:] = 0
    confidences = []
    for number in range(10, 26):
        lanes = by_role(tracker.find(mask, LANE, frame(number)))
        confidences.append(lanes["ego-right"].confidence if "ego-right" in lanes else 0.0)
    assert 0 < confidences[0] <= by_role(before)["ego-right"].confidence
    assert confidences == sorted(confidences, reverse=True)
    assert confidences[-1] == 0


def test_a_lane_change_swaps_roles_at_once_and_keeps_identities() -> None:
    tracker = LaneTracker(RATE)
    history = []
    for number in range(60):
        lanes = tracker.find(road(2.4 * number / 59, phase=-0.8 * number).mask(), LANE, frame(number))
        roles = [lane.role for lane in lanes]
        assert roles.count("ego-left") <= 1
        assert roles.count("ego-right") <= 1
        history.append((by_role(lanes)["ego-left"].id, by_role(lanes)["ego-right"].id))
    first, last = history[0], history[-1]
    assert last[0] == first[1]
    changes = [i for i in range(1, 60) if history[i] != history[i - 1]]
    assert len(changes) <= 2  # the swap, and the new right line's coming into sight


@pytest.mark.parametrize(("rate", "share"), [(10, 1.0), (20, 1 / 3), (25, 1 / 4), (30, 1 / 4), (50, 1 / 7)])
def test_fast_films_are_searched_some_seven_times_a_second(
    rate: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = []
    monkeypatch.setattr(
        tracking, "find_lanes_and_view", lambda *args, **rest: searched.append(1) or find_lanes_and_view(*args, **rest)
    )
    tracker, frames = LaneTracker(rate), 3 * rate
    for number in range(frames):
        shift = 2.4 * number / frames  # a lane change in three seconds
        scene = road(shift, phase=-16.0 * number / rate)
        lanes = tracker.find(scene.mask(), LANE, frame(number, rate=rate))
        assert {"ego-left", "ego-right"} <= by_role(lanes).keys()
        truth = [float(scene.x(line.u, np.array(250.0))) for line in scene.lines]
        for x in (float(lane.x_at(np.array([250.0]))[0]) for lane in lanes if lane.points[0, 1] > 250):
            assert min(abs(x - other) for other in truth) < 7  # they move by 80 pixels a second there
    assert abs(len(searched) / frames - share) < 0.04


def test_a_cut_starts_afresh() -> None:
    tracker = LaneTracker(RATE)
    for number in range(10):
        before = tracker.find(road().mask(), LANE, frame(number))
    other = np.random.default_rng(0).integers(0, 255, PICTURE.shape, dtype=np.uint8)
    scene = Road(vx=250.0, vy=120.0, lines=(Line(-1.0), Line(1.5)))
    after = tracker.find(scene.mask(), LANE, frame(10, other))
    assert not {lane.id for lane in before} & {lane.id for lane in after}
    assert {lane.role for lane in after} == {"ego-left", "ego-right"}
    for lane, line in zip(after, scene.lines, strict=True):
        assert error(lane.points, scene.truth(line)) < 4


def test_a_speck_of_one_frame_is_not_given() -> None:
    tracker = LaneTracker(RATE)
    for number in range(10):
        mask = replace(road(), lines=road().lines[1:3]).mask()
        if number == 6:
            mask |= Road(lines=(Line(3.6),)).mask()
        lanes = tracker.find(mask, LANE, frame(number))
        assert [lane.role for lane in lanes] == ["ego-left", "ego-right"]


def test_lines_are_steadier_than_the_masks() -> None:
    rng = np.random.default_rng(1)
    tracker = LaneTracker(RATE)
    raw, smooth = [], []
    for number in range(30):
        shift = float(rng.normal(0, 0.02))
        lanes = by_role(tracker.find(road(shift).mask(), LANE, frame(number)))
        raw.append(road().x(-1.2 - shift, np.array(300.0)))
        smooth.append(lanes["ego-left"].x_at(np.array([300.0]))[0])
    assert np.std(np.diff(smooth[5:])) < np.std(np.diff(raw[5:]))
