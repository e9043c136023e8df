"""From masks to lane lines, on roads drawn from the pinhole formula."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lanes.flat_roads import Line, Road, error

from lanecli.errors import LaneError
from lanecli.labelmaps import label_map
from lanecli.lanes import find_lanes
from lanecli.lanes.find import find_lanes_and_view
from lanecli.media import Frame

LANE = label_map("lane")
DASHED = {"period": 8.5, "dash": 2.6}
HIGHWAY = Road(lines=(Line(-3.6), Line(-1.2, **DASHED, phase=2.0), Line(1.2, **DASHED), Line(3.6)))


def test_a_highway_gives_four_lines_with_roles_and_styles() -> None:
    lanes = find_lanes(HIGHWAY.mask(), LANE)
    assert [lane.role for lane in lanes] == ["left", "ego-left", "ego-right", "right"]
    assert [lane.style for lane in lanes] == ["solid", "dashed", "dashed", "solid"]
    assert [lane.class_name for lane in lanes] == ["lane marking"] * 4
    for lane, line in zip(lanes, HIGHWAY.lines, strict=True):
        assert error(lane.points, HIGHWAY.truth(line)) < 3
        assert 0 < lane.confidence < 1


def test_points_run_from_near_to_far_through_the_gaps() -> None:
    for lane in find_lanes(HIGHWAY.mask(), LANE):
        steps = np.diff(lane.points[:, 1])
        assert (steps < 0).all()
        assert steps.min() >= -10
        assert lane.points[-1, 1] < HIGHWAY.vy + 25
    ego = [lane for lane in find_lanes(HIGHWAY.mask(), LANE) if lane.role in ("ego-left", "ego-right")]
    assert all(lane.points[0, 1] == HIGHWAY.size[1] - 1 for lane in ego)


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0.25, 0.6),
    st.floats(0.3, 0.7),
    st.floats(-1, 1),
    st.floats(1.6, 2.8),
    st.floats(0.3, 0.7),
    st.floats(0, 8.5),
)
@example(
    0.4375, 0.375, 0.9140625, 1.609375, 0.375, 0.0
)  # the left line's nearest dash is three times as far as the bottom
@example(0.25, 0.37835, -1.0, 2.8, 0.41728, 8.5)  # the worst of 3 000 drawn at random
@example(0.26538, 0.61038, 1.0, 2.74241, 0.69385, 0.0)  # a dash that the frame's side cuts
def test_any_camera(horizon: float, middle: float, bend: float, lane: float, place: float, phase: float) -> None:
    """No constant of a camera: horizon, vanishing point, bend and lane width are what they are."""
    left, right = -lane * place, lane * (1 - place)
    road = Road(
        vx=640 * middle,
        vy=352 * horizon,
        bend=bend * 900,
        lines=(Line(left - lane), Line(left, **DASHED, phase=phase), Line(right)),
    )
    found = {lane.role: lane for lane in find_lanes(road.mask(), LANE) if lane.role}
    bottom_xs = [road.x(line.u, np.array(351.0)) for line in road.lines]
    for line, x_at_bottom, other in (
        (road.lines[1], bottom_xs[1], bottom_xs[2]),
        (road.lines[2], bottom_xs[2], bottom_xs[1]),
    ):
        if abs(x_at_bottom - 319.5) < 40 or abs(other - 319.5) < 10 or (x_at_bottom < 319.5) == (other < 319.5):
            continue  # one of them is too near to the middle to have a side
        role = "ego-left" if x_at_bottom < 319.5 else "ego-right"
        truth = road.truth(line)
        if len(truth) > 60:
            assert role in found
            # though its nearest dash may begin three times as far away as the bottom of the frame
            assert error(found[role].points, truth[truth[:, 1] > road.vy + 20]) < 6  # type: ignore[index]


@pytest.mark.parametrize("shift", [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1)])
@pytest.mark.parametrize("size", [(640, 352), (960, 540)])
def test_a_mask_moved_by_a_pixel_gives_the_same_lanes(shift: tuple[int, int], size: tuple[int, int]) -> None:
    scale = size[0] / 640
    road = Road(size, 320 * scale, 150 * scale, 200 * scale**2, 550 * scale, HIGHWAY.lines)
    mask = road.mask()
    moved = cv2.warpAffine(mask, np.array([[1, 0, shift[0]], [0, 1, shift[1]]], float), size, flags=cv2.INTER_NEAREST)
    before, after = find_lanes(mask, LANE), find_lanes(moved, LANE)
    assert [lane.role for lane in before] == [lane.role for lane in after]
    for old, new in zip(before, after, strict=True):
        assert error(new.points - shift, old.points) < 1.5


def test_a_dash_that_the_frames_side_cuts_moves_with_its_mask() -> None:
    """Its rows at the side have their middle elsewhere, and no longer touch the side when the mask has moved."""
    road = Road(vx=390.6, vy=93.4, bend=900.0, lines=(Line(-1.9, **DASHED), Line(0.84)))
    mask = road.mask()
    moved = np.zeros_like(mask)
    moved[:, 1:] = mask[:, :-1]
    assert mask[:, 0].any()
    for lanes, shift in ((find_lanes(mask, LANE), 0), (find_lanes(moved, LANE), 1)):
        assert [lane.role for lane in lanes] == ["ego-left", "ego-right"]
        truth = road.truth(road.lines[0])
        assert error(lanes[0].points - (shift, 0), truth[truth[:, 1] > road.vy + 20]) < 3


def test_stop_lines_arrows_crossings_and_specks_are_no_lanes() -> None:
    road = Road(lines=(Line(-1.2), Line(1.2)))
    mask = road.mask()
    road.paint(mask, [(-1.1, 9.0), (1.1, 9.0), (1.1, 9.5), (-1.1, 9.5)])  # a stop line
    for number in range(8):  # a zebra crossing
        u = -2.0 + 0.55 * number
        road.paint(mask, [(u, 11.0), (u + 0.3, 11.0), (u + 0.3, 14.0), (u, 14.0)])
    road.paint(mask, [(-0.07, 4.0), (0.07, 4.0), (0.07, 6.0), (0.3, 6.0), (0, 7.5), (-0.3, 6.0), (-0.07, 6.0)])
    rng = np.random.default_rng(0)
    for x, y in rng.integers((0, 200), (640, 352), (40, 2)):
        mask[y : y + 2, x : x + 3] = 1
    lanes = find_lanes(mask, LANE)
    assert [lane.role for lane in lanes] == ["ego-left", "ego-right"]
    for lane, line in zip(lanes, road.lines, strict=True):
        assert error(lane.points, road.truth(line)) < 4


def test_two_stripes_are_one_double_line() -> None:
    road = Road(lines=(Line(-1.3, 0.08), Line(-1.1, 0.08), Line(1.2)))
    lanes = find_lanes(road.mask(), LANE)
    assert [lane.style for lane in lanes] == ["double", "solid"]
    assert error(lanes[0].points, road.truth(Line(-1.2))) < 3


def test_a_single_line_is_found_without_a_vanishing_point() -> None:
    road = Road(lines=(Line(-1.0),))
    [lane] = find_lanes(road.mask(), LANE)
    assert lane.role == "ego-left"
    truth = road.truth(road.lines[0])
    assert error(lane.points, truth[truth[:, 1] > road.vy + 15]) < 3


@pytest.mark.parametrize("value", [0, 255])
def test_nothing_to_see(value: int) -> None:
    assert find_lanes(np.full((352, 640), value, np.uint8), LANE) == ()
    assert find_lanes(np.full((1, 1), value, np.uint8), LANE) == ()


def test_everything_marked_gives_no_lanes_in_bounded_time() -> None:
    assert find_lanes(np.ones((352, 640), np.uint8), LANE) == ()
    noise = np.random.default_rng(0).integers(0, 2, (352, 640)).astype(np.uint8)
    find_lanes(noise, LANE)


def test_probabilities_and_class_map_say_the_same() -> None:
    mask = HIGHWAY.mask()
    plane = np.where(mask == 1, np.float32(0.9), np.float32(0.05))
    expected = find_lanes(mask, LANE)
    for scores in (plane, plane[None], np.stack([1 - plane, plane])):
        for one, other in zip(expected, find_lanes(scores, LANE), strict=True):
            np.testing.assert_allclose(one.points, other.points, atol=1e-6)


def test_points_are_in_pixels_of_the_frame() -> None:
    small = find_lanes(HIGHWAY.mask(), LANE)
    large = find_lanes(HIGHWAY.mask(), LANE, (1920, 1056))
    for one, other in zip(small, large, strict=True):
        assert error(other.points, (one.points + 0.5) * 3 - 0.5) < 1
        assert np.diff(other.points[:, 1]).min() >= -10


def test_colour_comes_from_the_pictures_pixels() -> None:
    road = Road(lines=(Line(-1.2), Line(1.2, **DASHED)))
    picture = np.full((352, 640, 3), 90, np.uint8)
    mask = road.mask()
    picture[(mask == 1) & (np.arange(640) < 320)] = (225, 175, 60)
    picture[(mask == 1) & (np.arange(640) >= 320)] = (230, 230, 230)
    frame = Frame.from_rgb(picture)
    assert [lane.color for lane in find_lanes(mask, LANE, picture=frame)] == ["yellow", "white"]
    y, u, v = (np.ascontiguousarray(p) for p in _planes(picture))
    planar = Frame.from_planes(y, u, v, 0, 0, Fraction(1, 25), colour=frame.colour)
    assert [lane.color for lane in find_lanes(mask, LANE, picture=planar)] == ["yellow", "white"]
    assert [lane.color for lane in find_lanes(mask, LANE)] == [None, None]


def _planes(picture: np.ndarray) -> list[np.ndarray]:
    stacked = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420)
    height, width = picture.shape[:2]
    half = height // 2 * (width // 2)
    chroma = stacked[height:].ravel()
    return [stacked[:height], *(chroma[i * half : (i + 1) * half].reshape(height // 2, width // 2) for i in (0, 1))]


def test_classes_name_style_and_colour() -> None:
    bdd = label_map("bdd100k-lane")
    road = Road(lines=(Line(-1.2), Line(1.2)))
    mask = road.mask()
    ids = np.where(mask == 0, 0, np.where(np.arange(640) < 320, 1 + 3, 1 + 6)).astype(np.uint8)
    lanes = find_lanes(ids, bdd)
    assert [lane.class_name for lane in lanes] == ["double yellow", "single white"]
    assert [lane.style for lane in lanes] == ["double", "solid"]
    assert [lane.color for lane in lanes] == ["yellow", "white"]


@pytest.mark.parametrize("name", ["tusimple-slots", "culane", "llamas"])
@pytest.mark.parametrize("kind", ["classes", "probabilities"])
def test_slots_are_lanes_of_their_own(name: str, kind: str) -> None:
    slots = label_map(name)
    count = len(slots.classes) - 1
    middle = count // 2
    road = Road(bend=300.0, lines=(Line(-1.2), Line(1.2), Line(3.6)))
    ids = np.zeros((352, 640), np.uint8)
    for line, slot in zip(road.lines, (middle, middle + 1, middle + 2), strict=True):
        ids[Road(bend=300.0, lines=(line,)).mask() == 1] = slot
    scores = ids
    if kind == "probabilities":
        planes = np.stack([ids == k for k in range(count + 1)]).astype(np.float32)
        scores = np.stack([cv2.GaussianBlur(plane, (0, 0), 1.0) for plane in planes])
        scores[0] += 1 - scores.sum(0)
    lanes = find_lanes(scores, slots)
    assert [lane.role for lane in lanes] == ["ego-left", "ego-right", "right"]
    assert [lane.class_name for lane in lanes] == list(slots.names[middle : middle + 3])
    for lane, line in zip(lanes, road.lines, strict=True):
        truth = road.truth(line)
        assert error(lane.points, truth[truth[:, 1] > road.vy + 25]) < 4
        assert lane.style is None


def test_the_perspective_is_found() -> None:
    view = find_lanes_and_view(HIGHWAY.mask(), LANE).view
    assert view is not None
    assert view.certain
    assert abs(view.vx - HIGHWAY.vx) < 4
    assert abs(view.vy - HIGHWAY.vy) < 4


@pytest.mark.parametrize(
    "scores",
    [
        np.zeros((4, 4), np.int32),
        np.zeros((2, 3, 4, 4), np.float32),
        np.zeros(4, np.uint8),
        np.zeros((5, 9, 9), np.float32),
    ],
)
def test_what_is_no_class_map_and_no_planes_is_refused(scores: np.ndarray) -> None:
    with pytest.raises(LaneError, match=r"lane lines|planes"):
        find_lanes(scores, LANE)
