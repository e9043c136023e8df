"""Rendered scenes and clips, seen from outside: bytes, sizes, errors, statistics."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import islice, pairwise

import cv2
import numpy as np
import pytest

from lanecli.data.synth import SyntheticScene, render_clip, render_scene
from lanecli.errors import InputError

SMALL = (160, 96)


def digest(scene: SyntheticScene) -> str:
    state = hashlib.sha256(scene.image.tobytes() + scene.mask.tobytes())
    for lane in scene.lanes:
        state.update(lane.points.tobytes() + lane.style.encode() + lane.colour.encode())
    return state.hexdigest()


@pytest.fixture(scope="module")
def scenes() -> list[SyntheticScene]:
    return [render_scene(seed, SMALL) for seed in range(200)]


def test_scene_has_the_promised_arrays() -> None:
    scene = render_scene(3, (200, 120))
    assert scene.image.shape == (120, 200, 3)
    assert scene.image.dtype == np.uint8
    assert scene.mask.shape == (120, 200)
    assert scene.mask.dtype == np.uint8
    assert scene.seed == 3
    for lane in scene.lanes:
        assert lane.points.dtype == np.float64
        assert lane.points.ndim == 2
        assert lane.points.shape[1] == 2


def test_same_seed_same_bytes_whatever_was_rendered_before() -> None:
    first = digest(render_scene(11, SMALL))
    render_scene(12, (97, 61))
    next(render_clip(5, 1, size=SMALL))
    assert digest(render_scene(11, SMALL)) == first


def test_threads_do_not_change_bytes() -> None:
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = [digest(render_scene(seed, (320, 180))) for seed in (4, 7)]
        cv2.setNumThreads(4)
        assert [digest(render_scene(seed, (320, 180))) for seed in (4, 7)] == one
    finally:
        cv2.setNumThreads(before)


def test_fresh_interpreter_gives_the_same_bytes() -> None:
    program = (
        "import hashlib; from lanecli.data.synth import render_scene; s = render_scene(21, (160, 96));"
        "print(hashlib.sha256(s.image.tobytes() + s.mask.tobytes()).hexdigest())"
    )
    fresh = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    scene = render_scene(21, (160, 96))
    assert fresh == hashlib.sha256(scene.image.tobytes() + scene.mask.tobytes()).hexdigest()


def test_seeds_differ(scenes: list[SyntheticScene]) -> None:
    assert len({digest(scene) for scene in scenes}) == len(scenes)


def test_masks_hold_only_zero_and_one(scenes: list[SyntheticScene]) -> None:
    assert set(np.unique([scene.mask for scene in scenes])) == {0, 1}


def test_lane_points_lie_inside_and_run_away_from_the_car(scenes: list[SyntheticScene]) -> None:
    for scene in scenes:
        for lane in scene.lanes:
            assert len(lane.points) >= 2
            assert (lane.points >= -0.5).all()
            assert (lane.points <= np.array(SMALL) - 0.5).all()
            assert lane.points[0, 1] > lane.points[-1, 1] - 2
            assert lane.colour in ("white", "yellow")


def test_statistics_over_many_scenes(scenes: list[SyntheticScene]) -> None:
    share = np.array([scene.mask.mean() for scene in scenes])
    assert (share > 0).mean() > 0.93
    assert 0.004 < np.median(share) < 0.04
    assert share.max() < 0.12
    assert ((share > 0.002) & (share < 0.08)).mean() > 0.75
    brightness = np.array([scene.image.mean() for scene in scenes])
    assert np.percentile(brightness, 5) < 40
    assert np.percentile(brightness, 95) > 130
    top = np.array([np.flatnonzero(scene.mask.any(axis=1))[0] for scene in scenes if scene.mask.any()]) / SMALL[1]
    assert np.percentile(top, 90) - np.percentile(top, 10) > 0.1
    styles = {lane.style for scene in scenes for lane in scene.lanes}
    assert styles >= {"solid", "dashed", "double", "solid-dashed", "dots"}
    assert {lane.colour for scene in scenes for lane in scene.lanes} == {"white", "yellow"}


def test_paint_is_mostly_brighter_than_the_road_beside_it(scenes: list[SyntheticScene]) -> None:
    brighter = []
    for scene in scenes:
        beside = cv2.dilate(scene.mask, np.ones((7, 7), np.uint8)) - cv2.dilate(scene.mask, np.ones((3, 3), np.uint8))
        if scene.mask.sum() > 40:
            brighter.append(scene.image[scene.mask > 0].mean() > scene.image[beside > 0].mean())
    assert np.mean(brighter) > 0.9


@pytest.mark.parametrize("size", [(33, 47), (101, 57), (47, 200), (321, 64)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    for seed in range(6):
        scene = render_scene(seed, size)
        assert scene.image.shape == (size[1], size[0], 3)
        assert scene.mask.shape == (size[1], size[0])


@pytest.mark.parametrize("size", [(0, 10), (-4, 300), (31, 300), (300, 9000), (300.0, 200), (300,), 300, (True, 64)])
def test_bad_sizes_are_refused(size: object) -> None:
    with pytest.raises(InputError, match="size"):
        render_scene(1, size)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="size"):
        render_clip(1, 2, size=size)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, 1.5, "7", None, True])
def test_bad_seeds_are_refused(seed: object) -> None:
    with pytest.raises(InputError, match="seed"):
        render_scene(seed, SMALL)  # type: ignore[arg-type]


@pytest.mark.parametrize(("frames", "fps"), [(0, 25.0), (-3, 25.0), (2.5, 25.0), (3, 0.0), (3, float("nan"))])
def test_bad_clips_are_refused_at_once(frames: object, fps: float) -> None:
    with pytest.raises(InputError, match="clip"):
        render_clip(1, frames, fps, SMALL)  # type: ignore[arg-type]


def test_clip_frames_change_a_little_and_overlap() -> None:
    frames = list(render_clip(4, 6, 60.0, (480, 270)))
    assert len(frames) == 6
    for before, after in pairwise(frames):
        assert not np.array_equal(before.image, after.image)
        assert not np.array_equal(before.mask, after.mask)
        both = (before.mask & after.mask).sum()
        assert both / (before.mask | after.mask).sum() > 0.35
        assert abs(int(before.mask.sum()) - int(after.mask.sum())) < 0.5 * before.mask.sum()


def test_longer_clip_begins_like_the_shorter_one() -> None:
    short = [digest(scene) for scene in render_clip(9, 2, 25.0, SMALL)]
    long = [digest(scene) for scene in islice(render_clip(9, 5000, 25.0, SMALL), 2)]
    assert short == long
