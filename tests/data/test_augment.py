"""Augmentation: picture and mask stay together, and nothing is invented."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanecli.data.augment import (
    add_noise,
    augment,
    blur,
    change_levels,
    cut_out,
    placement_matrix,
    random_matrix,
    swap_classes,
    warp,
)
from lanecli.geometry import Geometry
from lanecli.labels import LabelClass, LabelMap
from lanecli.sections import AugmentConfig

calm = settings(deadline=None, max_examples=40)
STILL = AugmentConfig(flip=0, scale=(1, 1), aspect=0, rotate=0, shift=0, color=0, blur=0, noise=0, cutout=0)
SIDES = LabelMap(
    "sides",
    tuple(LabelClass(name, (0, 0, 0)) for name in ("background", "left", "right", "other")),
    swaps=((1, 2),),
)


def map_points(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N, 2) through a (3, 3) projective map."""
    mapped = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return mapped[:, :2] / mapped[:, 2:]


def centroid(weight: np.ndarray) -> np.ndarray:
    rows, columns = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()


@calm
@given(
    st.tuples(st.integers(20, 200), st.integers(20, 200)),
    st.tuples(st.integers(8, 96), st.integers(8, 96)),
    st.sampled_from(["stretch", "pad"]),
    st.integers(0, 9),
)
def test_the_matrix_of_a_placement_does_what_it_does_to_points(
    frame: tuple[int, int], size: tuple[int, int], fit: str, crop: int
) -> None:
    placement = Geometry(size, (crop, crop, 0, 0), fit).place(frame)
    points = np.random.default_rng(0).uniform(-50, 250, (6, 2))
    assert np.allclose(map_points(placement_matrix(placement), points), placement.points(points))


def _marked(
    frame: tuple[int, int], size: tuple[int, int], config: AugmentConfig, mask_frame: tuple[int, int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Offsets of a square's middle, picture from mask and picture from where it belongs, over random maps."""
    rng = np.random.default_rng(3)
    placement = Geometry(size).place(frame)
    between, beside = [], []
    half = max(5, int(5 * frame[0] / size[0]))
    while len(between) < 60:
        x, y = (int(rng.integers(side // 4, 3 * side // 4)) for side in frame)
        picture, mask = np.full((*frame[::-1], 3), 114, np.uint8), np.zeros(frame[::-1], np.uint8)
        picture[y - half : y + half + 1, x - half : x + half + 1] = 255  # on the grey of the outside
        mask[y - half : y + half + 1, x - half : x + half + 1] = 1
        if mask_frame is not None:
            mask = Geometry(mask_frame).place(frame).mask(mask)
        matrix = random_matrix(config, size, rng)[0] @ placement_matrix(placement)
        corners = np.array([[x - half, y - half], [x + half, y - half], [x + half, y + half], [x - half, y + half]])
        mapped = map_points(matrix, corners)
        if (mapped < 3).any() or (mapped > np.array(size) - 4).any():
            continue
        warped, warped_mask = warp(picture, mask, matrix, size)
        found = centroid((warped[..., 0] - 114.0).clip(0))
        between.append(found - centroid(warped_mask == 1))
        beside.append(found - map_points(matrix, np.array([[x, y]], float))[0])
    return np.array(between), np.array(beside)


@pytest.mark.parametrize(
    ("frame", "size", "config"),
    [
        ((320, 180), (160, 96), AugmentConfig()),
        ((853, 481), (192, 96), AugmentConfig(scale=(0.4, 0.9), rotate=10)),
        ((1280, 720), (128, 64), AugmentConfig(scale=(0.5, 0.8))),
        ((90, 60), (192, 96), AugmentConfig(rotate=20)),
    ],
)
def test_picture_and_mask_stay_together(frame: tuple[int, int], size: tuple[int, int], config: AugmentConfig) -> None:
    between, beside = _marked(frame, size, config)
    assert np.abs(between).max() < 0.6
    assert np.abs(beside).max() < 0.3
    assert np.abs(between.mean(0)).max() < 0.1  # no drift to one side
    assert np.abs(beside.mean(0)).max() < 0.05


def test_a_mask_of_another_size_lies_over_the_same_view() -> None:
    between, _ = _marked((320, 180), (160, 96), AugmentConfig(), mask_frame=(160, 90))
    assert np.abs(between).max() < 1
    assert np.abs(between.mean(0)).max() < 0.2


def test_shrinking_does_not_lose_thin_stripes() -> None:
    """Without averaging, five of six one-pixel columns would be skipped and the sixth kept whole."""
    weights = []
    for column in range(300, 330):
        picture = np.zeros((120, 640, 3), np.uint8)
        picture[:, column] = 240
        matrix = placement_matrix(Geometry((106, 20)).place((640, 120)))
        warped, _ = warp(picture, np.zeros((120, 640), np.uint8), matrix, (106, 20))
        weights.append(warped[10, 5:-5, 0].sum(dtype=float))
    assert np.mean(weights) == pytest.approx(240 * 106 / 640, rel=0.1)
    assert min(weights) > 0.3 * np.mean(weights)


def scene(rng: np.random.Generator, size: tuple[int, int] = (90, 60)) -> tuple[np.ndarray, np.ndarray]:
    width, height = size
    picture = cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3), np.uint8), (0, 0), 3)
    mask = cv2.resize(rng.integers(0, 4, (6, 9), np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT)
    mask[:3, :9] = 255
    return picture, mask


@calm
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 0.3))
def test_whatever_happens_the_kinds_stay(seed: int, strength: float, perspective: float) -> None:
    config = AugmentConfig(
        rotate=90, aspect=0.5, shift=0.5, perspective=perspective, color=strength, blur=1, noise=1, cutout=1
    )
    picture, mask = scene(np.random.default_rng(seed))
    before = picture.copy(), mask.copy()
    placement = Geometry((48, 32), (0, 9, 0, 0), "pad").place((90, 60))
    changed, ids = augment(picture, mask, placement, config, SIDES, np.random.default_rng(seed))
    assert (changed.shape, changed.dtype) == ((32, 48, 3), np.uint8)
    assert (ids.shape, ids.dtype) == ((32, 48), np.uint8)
    assert set(np.unique(ids)) <= {0, 1, 2, 3, 255}
    assert np.array_equal(picture, before[0])
    assert np.array_equal(mask, before[1])
    again = augment(picture, mask, placement, config, SIDES, np.random.default_rng(seed))
    assert np.array_equal(again[0], changed)
    assert np.array_equal(again[1], ids)


def test_other_random_streams_give_other_pictures() -> None:
    picture, mask = scene(np.random.default_rng(0))
    placement = Geometry((48, 32)).place((90, 60))
    seen = {
        augment(picture, mask, placement, AugmentConfig(), SIDES, np.random.default_rng(i))[0].tobytes()
        for i in range(20)
    }
    assert len(seen) == 20


@pytest.mark.parametrize("fit", ["stretch", "pad"])
@pytest.mark.parametrize("size", [(90, 51), (64, 32), (40, 24), (120, 96)])
def test_nothing_asked_is_what_the_geometry_does(fit: str, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    placement = Geometry(size, (0, 9, 0, 0), fit).place((90, 60))
    picture, mask = scene(rng)
    changed, ids = augment(picture, mask, placement, STILL, SIDES, rng)
    left, top, right, bottom = placement.content
    inside = np.s_[top + 1 : bottom - 1, left + 1 : right - 1]
    difference = np.abs(changed.astype(int) - placement.picture(picture))[inside]
    assert difference.max() <= 12
    assert difference.mean() < 2
    assert (ids == placement.mask(mask))[inside].mean() > 0.97


def test_without_a_change_of_size_nothing_changes_at_all() -> None:
    rng = np.random.default_rng(1)
    picture, mask = scene(rng)
    changed, ids = augment(picture, mask, Geometry().place((90, 60)), STILL, SIDES, rng)
    assert np.array_equal(changed, picture)
    assert np.array_equal(ids, mask)


def test_a_mirrored_picture_swaps_its_sides() -> None:
    rng = np.random.default_rng(1)
    picture, mask = scene(rng)
    mirror = STILL.model_copy(update={"flip": 1.0})
    changed, ids = augment(picture, mask, Geometry().place((90, 60)), mirror, SIDES, rng)
    assert np.array_equal(changed, picture[:, ::-1])
    swapped = np.where(mask == 1, 2, np.where(mask == 2, 1, mask))
    assert np.array_equal(ids, swapped[:, ::-1])


def test_classes_are_swapped_only_where_the_map_says_so() -> None:
    mask = np.array([[0, 1, 2, 3, 255]], np.uint8)
    assert swap_classes(mask, SIDES).tolist() == [[0, 2, 1, 3, 255]]
    assert swap_classes(mask, LabelMap("m", SIDES.classes)) is mask


def test_labels_that_overlap_swap_their_bits() -> None:
    several = LabelMap("m", SIDES.classes, swaps=((1, 2),), multilabel=True)
    mask = np.array([[0b0000, 0b0010, 0b0100, 0b1011, 0b0110, 255]], np.uint8)
    assert swap_classes(mask, several).tolist() == [[0b0000, 0b0100, 0b0010, 0b1101, 0b0110, 255]]


def test_outside_the_picture_is_grey_and_ignored() -> None:
    picture, mask = np.full((20, 30, 3), 200, np.uint8), np.ones((20, 30), np.uint8)
    matrix = np.array([[1, 0, 10], [0, 1, 0], [0, 0, 1.0]])
    warped, ids = warp(picture, mask, matrix, (30, 20))
    assert (warped[:, :9] == 114).all()
    assert (warped[:, 11:] == 200).all()
    assert (ids[:, :10] == 255).all()
    assert (ids[:, 10:] == 1).all()


@calm
@given(st.integers(0, 2**32 - 1))
def test_random_maps_keep_to_their_ranges(seed: int) -> None:
    config = AugmentConfig(flip=0.5, scale=(0.5, 2.0), aspect=0, rotate=30, shift=0)
    matrix, flipped = random_matrix(config, (64, 32), np.random.default_rng(seed))
    linear = matrix[:2, :2]
    assert (np.linalg.det(linear) < 0) == flipped
    assert 0.5 - 1e-9 <= np.sqrt(abs(np.linalg.det(linear))) <= 2 + 1e-9
    assert matrix[2].tolist() == [0, 0, 1]
    upright = linear @ np.diag([-1 if flipped else 1, 1])
    assert abs(np.rad2deg(np.arctan2(upright[1, 0], upright[0, 0]))) <= 30 + 1e-6


@calm
@given(st.integers(0, 2**32 - 1))
def test_blur_moves_nothing(seed: int) -> None:
    picture = np.zeros((61, 81, 3), np.uint8)
    picture[25:36, 35:46] = 250
    blurred = blur(picture, np.random.default_rng(seed))
    assert blurred.shape == picture.shape
    assert np.abs(centroid(blurred[..., 0].astype(float)) - [40, 30]).max() < 0.12


def test_levels_and_noise_stay_in_range_and_in_place() -> None:
    rng = np.random.default_rng(0)
    picture, _ = scene(rng)
    assert np.array_equal(change_levels(picture, 0.0, rng), picture)
    for _ in range(20):
        for changed in (change_levels(picture, 1.0, rng), add_noise(picture, rng)):
            assert (changed.shape, changed.dtype) == (picture.shape, np.uint8)
    mild = [np.abs(add_noise(picture, rng).astype(int) - picture).mean() for _ in range(20)]
    assert max(mild) < 14


def test_a_cut_out_is_ignored() -> None:
    picture, mask = np.zeros((100, 100, 3), np.uint8), np.zeros((100, 100), np.uint8)
    cut_out(picture, mask, np.random.default_rng(4))
    covered = mask == 255
    assert 0.0025 <= covered.mean() <= 0.09
    assert len(np.unique(picture[covered], axis=0)) == 1
    assert not picture[~covered].any()
