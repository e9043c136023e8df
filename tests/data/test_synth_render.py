"""Markings, masks and lane lines of worlds put together by hand."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from lanecli.data.synth.cross_section import Widening
from lanecli.data.synth.distractors import Distractors, Shape
from lanecli.data.synth.lines import FOREVER, Line, Stripe
from lanecli.data.synth.render import Pose, render
from lanecli.data.synth.road import RoadShape
from lanecli.data.synth.scenery import Scenery
from lanecli.data.synth.vehicles import Vehicle
from lanecli.data.synth.world import World, make_world

SIZE = (480, 270)


def bare(seed: int) -> World:
    """A seed's world without anything that hides the road, its paint all there."""
    world = make_world(seed)
    return replace(
        world,
        traffic=(),
        scenery=Scenery(),
        distractors=Distractors(),
        sensor=replace(world.sensor, bonnet=0.0),
        paint=replace(world.paint, missing=0.0, wear=0.0),
    )


def straight(lines: tuple[Line, ...]) -> World:
    """A straight flat road with the given lines, seen by a level camera."""
    world = bare(1)
    return replace(
        world,
        cross_section=replace(world.cross_section, lines=lines, widening=Widening(FOREVER, 1.0, 0.0), crossing=FOREVER),
        shape=RoadShape(0.0, (), ()),
        mount=replace(world.mount, focal=1.0, height=1.5, pitch=0.0, roll=0.0, distortion=0.0, u=0.0, yaw=0.0),
    )


@pytest.mark.parametrize("seed", range(0, 36, 3))
def test_solid_lines_lie_on_their_pixels(seed: int) -> None:
    scene = render(bare(seed), SIZE, Pose())
    away = cv2.distanceTransform(1 - scene.mask, cv2.DIST_L2, 5)
    for lane in scene.lanes:
        if lane.style != "solid":
            continue
        x, y = np.round(lane.points).astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < SIZE[0]) & (y < SIZE[1])
        assert away[y[inside], x[inside]].max() <= 2.5


def test_line_stands_where_the_pinhole_says() -> None:
    """Straight road, level camera: a line u metres to the side is at x = cx + f u / Z in row y = cy + f h / Z."""
    scene = render(straight((Line(1.8, "solid", "white", (Stripe(0.0, 0.2),)),)), SIZE, Pose())
    focal, cx, cy = 480.0, 239.5, 134.5
    assert not scene.mask[:135].any()
    for row in range(145, 270, 5):
        z = focal * 1.5 / (row - cy)
        if focal * 2.0 / z + cx > 478:
            continue
        columns = np.flatnonzero(scene.mask[row])
        assert columns.mean() == pytest.approx(cx + focal * 1.8 / z, abs=0.6)
        assert len(columns) == pytest.approx(max(focal * 0.2 / z, 1.0), abs=1.6)
    points = scene.lanes[0].points
    z = focal * 1.5 / (points[:, 1] - cy)
    np.testing.assert_allclose(points[:, 0], cx + focal * 1.8 / z, atol=0.05)


def test_dashes_leave_gaps_of_their_length() -> None:
    world = straight((Line(0.0, "dashed", "white", (Stripe(0.0, 0.15, 12.0, 4.0, 6.0),)),))
    scene = render(world, SIZE, Pose())
    rows = np.arange(SIZE[1])
    z = np.where(rows > 140, 480.0 * 1.5 / np.maximum(rows - 134.5, 1), 1e6)
    painted = scene.mask.any(axis=1)
    well_inside = np.abs((z - 6.0) % 12.0 - 2.0) < 1.6
    well_outside = np.abs((z - 6.0) % 12.0 - 8.0) < 3.6
    near = z < 40
    assert painted[near & well_inside].all()
    assert not painted[near & well_outside].any()
    assert (near & well_inside).sum() > 15
    assert (near & well_outside).sum() > 15


@pytest.mark.parametrize("seed", range(1, 30, 4))
def test_small_picture_shows_the_same_lines_as_the_large_one(seed: int) -> None:
    """The mask of a large picture, averaged down, is a slow supersampled reference for the small one's."""
    world = bare(seed)
    small = render(world, (240, 136), Pose()).mask
    large = render(world, (960, 544), Pose()).mask
    share = cv2.resize(large.astype(np.float32), (240, 136), interpolation=cv2.INTER_AREA)
    certain = (share > 0.85) | (share < 0.02)
    assert (small[certain] == (share[certain] > 0.5)).mean() > 0.99
    assert small[share > 0.85].mean() > 0.95


def test_vehicles_cut_the_mask() -> None:
    world = straight((Line(0.0, "solid", "white", (Stripe(0.0, 0.15),)),))
    free = render(world, SIZE, Pose()).mask
    car = Vehicle("saloon", 15.0, 0.0, 1, 0.0, (200.0, 30.0, 30.0), False)
    cut = render(replace(world, traffic=(car,)), SIZE, Pose()).mask
    # the rear stands from the road at 15 m up to 1.4 m: image rows between these are hidden
    rear_foot, roof = 134.5 + 480 * 1.2 / 15.0, 134.5 + 480 * 0.6 / 15.0
    assert free[int(roof) : int(rear_foot)].any()
    assert not cut[int(roof) : int(rear_foot)].any()
    assert not (cut & ~free.astype(bool)).any()
    assert cut[200:].any()


def test_vehicles_only_take_away_from_the_mask() -> None:
    for seed in range(0, 30, 3):
        world = replace(bare(seed), traffic=make_world(seed).traffic)
        with_cars, without = render(world, SIZE, Pose()).mask, render(bare(seed), SIZE, Pose()).mask
        assert not (with_cars & ~without.astype(bool)).any()


def test_distractors_are_painted_but_not_labelled() -> None:
    changed = 0
    for seed in range(0, 60, 3):
        world = bare(seed)
        with_them = render(replace(world, distractors=make_world(seed).distractors), SIZE, Pose())
        without = render(world, SIZE, Pose())
        np.testing.assert_array_equal(with_them.mask, without.mask)
        changed += not np.array_equal(with_them.image, without.image)
    assert changed > 10


def test_stop_bar_alone_leaves_the_mask_empty() -> None:
    world = straight(())
    bar = Shape((np.array([[-1.5, 10.0], [-1.5, 10.6], [1.5, 10.6], [1.5, 10.0]]),), 250)
    scene = render(replace(world, distractors=Distractors(shapes=[bar])), SIZE, Pose())
    plain = render(world, SIZE, Pose())
    assert not scene.mask.any()
    assert scene.lanes == ()
    row = round(134.5 + 480 * 1.5 / 10.3)
    assert scene.image[row, 200:280].mean() > plain.image[row, 200:280].mean() + 15


def test_gone_paint_is_not_labelled_but_worn_paint_is() -> None:
    world = straight((Line(1.0, "solid", "white", (Stripe(0.0, 0.2),)),))
    fresh = render(world, SIZE, Pose()).mask
    worn = render(replace(world, paint=replace(world.paint, wear=1.0)), SIZE, Pose()).mask
    gone = render(replace(world, paint=replace(world.paint, wear=1.0, missing=0.4)), SIZE, Pose()).mask
    np.testing.assert_array_equal(worn, fresh)
    assert 0 < gone.sum() < 0.9 * fresh.sum()


def test_bonnet_hides_the_mask() -> None:
    world = straight((Line(0.5, "solid", "white", (Stripe(0.0, 0.2),)),))
    covered = replace(world, sensor=replace(world.sensor, bonnet=0.2, bonnet_shape=(0.0, 0.0, 30.0, 0.2)))
    assert render(world, SIZE, Pose()).mask[230:].any()
    assert not render(covered, SIZE, Pose()).mask[int(0.8 * 270) + 1 :].any()
