"""Repainting: what is labelled paint is seen, what is not painted stays, and the same stream gives the same picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lanecli.data.augment import augment
from lanecli.data.dataset import TrainingSet
from lanecli.data.repaint import _paint_components, estimate_road, remove_paint, repaint
from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.labelmaps import label_map
from lanecli.labels import LabelMap
from lanecli.sections import AugmentConfig

HORIZON = (160.0, 90.0)
SLOPES = (-1.1, 0.3, 1.3)
WIDTH = 0.05


def drive(seed: int, bonnet: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A grey road with three straight white lines to one point under a blue sky; picture, mask, the bare road."""
    rng = np.random.default_rng(seed)
    road = np.full((240, 320, 3), 90.0) + rng.normal(0, 4, (240, 320, 1)) + np.linspace(-12, 12, 320)[None, :, None]
    road[:90] = (120, 160, 220)
    if bonnet:
        road[200:] = 25
    mask = np.zeros((240, 320), np.uint8)
    for slope in SLOPES:
        rows = np.array([100.0, 199.0 if bonnet else 239.0])
        x = HORIZON[0] + slope * (rows - HORIZON[1])
        half = WIDTH / 2 * (rows - HORIZON[1])
        outline = [
            [x[0] - half[0], rows[0]],
            [x[0] + half[0], rows[0]],
            [x[1] + half[1], rows[1]],
            [x[1] - half[1], rows[1]],
        ]
        cv2.fillPoly(mask, [np.rint(np.array(outline) * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    picture = np.where(mask[..., None] == 1, road + 100, road)
    return np.clip(picture, 0, 255).astype(np.uint8), mask, np.clip(road, 0, 255).astype(np.uint8)


def test_the_vanishing_point_and_the_width_are_measured() -> None:
    picture, mask, _ = drive(0)
    parts = _paint_components(mask == 1)
    assert parts is not None
    view = estimate_road(picture, mask == 1, parts, mask == 0)
    assert view is not None
    assert np.hypot(view.vanishing[0] - HORIZON[0], view.vanishing[1] - HORIZON[1]) < 4
    assert view.width == pytest.approx(WIDTH, rel=0.2)
    for slope in SLOPES:
        assert np.abs(view.slopes - slope).min() < 0.05
    assert view.road[120:230].mean() > 0.9
    assert not view.road[:80].any()
    assert view.paint.mean() == pytest.approx(190 / 90, rel=0.1)


def test_removed_paint_leaves_the_road() -> None:
    picture, mask, bare = drive(1)
    parts = _paint_components(mask == 1)
    assert parts is not None
    view = estimate_road(picture, mask == 1, parts, mask == 0)
    assert view is not None
    old = parts[1] == 1
    covered = remove_paint(picture, old, (mask == 1) & ~old, view, np.random.default_rng(0))
    assert covered[old].mean() > 0.99
    assert np.abs(picture[old].astype(float) - bare[old]).mean() < 8  # two samples of the grain, no paint
    others = (mask == 1) & ~old
    assert np.abs(picture[others].astype(float) - bare[others]).mean() > 80


def test_new_paint_is_seen_and_labelled_and_the_rest_stays() -> None:
    fresh = gone = 0
    for seed in range(12):
        picture, mask, bare = drive(seed)
        before = picture.copy(), mask.copy()
        new_picture, new_mask = repaint(picture, mask, np.random.default_rng(seed))
        assert np.array_equal(picture, before[0])
        assert np.array_equal(mask, before[1])
        assert (new_picture.shape, new_picture.dtype, new_mask.dtype) == (picture.shape, np.uint8, np.uint8)
        assert set(np.unique(new_mask)) <= {0, 1}
        again = repaint(picture, mask, np.random.default_rng(seed))
        assert np.array_equal(again[0], new_picture)
        assert np.array_equal(again[1], new_mask)
        brighter = new_picture.astype(float).mean(2) - bare.astype(float).mean(2)
        added, removed = (new_mask == 1) & (mask == 0), (mask == 1) & (new_mask == 0)
        fresh, gone = fresh + int(added.sum()), gone + int(removed.sum())
        if added.any():
            assert np.median(brighter[added]) > 25
        untouched = cv2.dilate(((mask == 1) | (new_mask == 1)).astype(np.uint8), np.ones((9, 9))) == 0
        assert np.abs(brighter[untouched]).max() < 3
        assert not new_mask[:90].any()
        kept = (mask == 1) & (new_mask == 1)
        assert (brighter[kept] <= 40).sum() <= 0.03 * kept.sum()
    assert fresh > 12 * 200
    assert gone > 1000


def test_nothing_is_painted_on_the_bonnet() -> None:
    for seed in range(8):
        picture, mask, _ = drive(seed, bonnet=True)
        new_picture, new_mask = repaint(picture, mask, np.random.default_rng(seed))
        assert not new_mask[203:].any()
        assert np.array_equal(new_picture[203:], picture[203:])


def test_without_paint_to_learn_from_nothing_changes() -> None:
    picture, mask, _ = drive(0)
    same = repaint(picture, np.zeros_like(mask), np.random.default_rng(0))
    assert same[0] is picture
    specks = np.zeros_like(mask)
    specks[100:104, 10:12] = 1
    assert repaint(picture, specks, np.random.default_rng(0))[0] is picture


def test_ignored_pixels_stay_ignored() -> None:
    picture, mask, _ = drive(3)
    mask[150:200, 100:260] = 255
    for seed in range(6):
        _, new_mask = repaint(picture, mask, np.random.default_rng(seed))
        assert np.array_equal(new_mask == 255, mask == 255)


@pytest.mark.parametrize("size", [(32, 48), (9, 200), (200, 9), (64, 64)])
def test_any_picture_is_taken(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        picture = rng.integers(0, 256, (*size, 3), np.uint8)
        mask = cv2.resize(rng.integers(0, 3, (5, 7), np.uint8) % 2, size[::-1], interpolation=cv2.INTER_NEAREST)
        mask[rng.random(size) < 0.05] = 255
        new_picture, new_mask = repaint(picture, mask, rng)
        assert new_picture.shape == picture.shape
        assert np.array_equal(new_mask == 255, mask == 255)


def test_augmentation_paints_as_often_as_it_is_told() -> None:
    picture, mask, _ = drive(0)
    still = {"flip": 0, "scale": (1, 1), "aspect": 0, "rotate": 0, "shift": 0, "color": 0, "blur": 0, "noise": 0}
    placement, lane = Geometry().place((320, 240)), label_map("lane")
    changed = [
        not np.array_equal(
            augment(picture, mask, placement, AugmentConfig(**still, repaint=0.5), lane, np.random.default_rng(i))[1],
            mask,
        )
        for i in range(24)
    ]
    assert 5 <= sum(changed) <= 19
    never = augment(picture, mask, placement, AugmentConfig(**still), lane, np.random.default_rng(0))
    assert np.array_equal(never[0], picture)


def test_a_label_map_that_does_not_tell_paint_is_refused() -> None:
    class Pictures:
        label_map: LabelMap = label_map("camvid-11")
        weights: np.ndarray | None = None

        def __len__(self) -> int:
            return 3

        def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            raise AssertionError

    with pytest.raises(InputError, match="repaint needs two classes"):
        TrainingSet([Pictures()], Geometry((32, 32)), AugmentConfig(repaint=0.1))
