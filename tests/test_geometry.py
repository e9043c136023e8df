"""Geometry: forth and back without a shift, pixels and points alike."""

from __future__ import annotations

import json
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lanecli.errors import InputError
from lanecli.geometry import Geometry, Placement, parse_size, resize

SIDES = [
    (3384, 1536),  # the Baidu set's width …
    (1020, 512),  # … and its height without the sky
    (960, 576),
    (540, 320),
    (1280, 640),  # a half: every network pixel lies halfway between two
    (1440, 360),  # a quarter, likewise
    (853, 576),
    (481, 320),
    (641, 333),
    (320, 576),  # larger
    (288, 576),
    (375, 320),
    (384, 576),
    (101, 256),
]
calm = settings(deadline=None, max_examples=40)
FITS = st.sampled_from(["stretch", "pad"])


@st.composite
def placements(draw: st.DrawFn) -> Placement:
    frame = draw(st.integers(8, 200)), draw(st.integers(8, 200))
    size = draw(st.none() | st.tuples(st.integers(4, 160), st.integers(4, 160)))
    margin = st.integers(0, 3) | st.floats(0.01, 0.3)
    return Geometry(size, draw(st.tuples(margin, margin, margin, margin)), draw(FITS)).place(frame)


@calm
@given(placements(), arrays(float, (5, 2), elements=st.floats(-500, 500)))
def test_points_go_there_and_back(placement: Placement, points: np.ndarray) -> None:
    assert np.allclose(placement.inverse_points(placement.points(points)), points, atol=1e-9)
    assert np.allclose(placement.points(placement.inverse_points(points)), points, atol=1e-9)


@calm
@given(placements())
def test_the_corners_of_the_crop_are_the_corners_of_the_content(placement: Placement) -> None:
    left, top, right, bottom = placement.box
    corners = np.array([[left, top], [right, bottom]]) - 0.5
    wanted = np.array([placement.content[:2], placement.content[2:]]) - 0.5
    assert np.allclose(placement.points(corners), wanted)


def _mean_shift(source: int, target: int, width: int, is_mask: bool) -> float:
    """Mean shift in source pixels of stripes of `width` at every position, through the network's size and back."""
    placement = Geometry((target, 6)).place((source, 12 if is_mask else 6))
    margin = max(8, 4 * source // target + 4)
    gap = 2 * margin + width
    shifts = []
    for offset in range(min(gap, 60)):
        starts = np.arange(margin + offset, source - margin - width + 1, gap)
        row = np.zeros(source, np.uint8 if is_mask else np.float32)
        for start in starts:
            row[start : start + width] = 1
        picture = np.tile(row, (placement.frame[1], 1))
        if is_mask:
            back = placement.inverse_mask(placement.mask(picture))
        else:
            back = placement.inverse_map(placement.picture(picture))
        weight = back.astype(float).mean(0)
        for start in starts:
            near = np.arange(start - margin, start + width + margin)
            shifts.append((weight[near] * near).sum() / weight[near].sum() - (start + (width - 1) / 2))
    assert len(shifts) > 60
    return float(np.mean(shifts))


@pytest.mark.parametrize(("source", "target"), SIDES)
@pytest.mark.parametrize("width", [1, 2, 5])
def test_a_thin_stripe_comes_back_where_it_was(source: int, target: int, width: int) -> None:
    assert abs(_mean_shift(source, target, width, is_mask=False)) < 0.005


@pytest.mark.parametrize(("source", "target"), SIDES)
def test_a_stripe_of_a_mask_comes_back_where_it_was(source: int, target: int) -> None:
    assert abs(_mean_shift(source, target, 3 * -(-source // target) + 2, is_mask=True)) < 0.02


@pytest.mark.parametrize("vertical", [False, True])
def test_a_column_survives_the_competition_geometry_at_full_size(vertical: bool) -> None:
    placement = Geometry((1536, 512), (0, 690, 0, 0)).place((3384, 1710))
    assert placement.box == (0, 690, 3384, 1710)
    side, other = (1020, 3384) if vertical else (3384, 1020)
    spots = np.arange(20, side - 20, 25 if vertical else 41)
    picture = np.zeros((1710, 3384), np.float32)
    if vertical:
        picture[690 + spots] = 1
    else:
        picture[690:, spots] = 1
    back = placement.inverse_map(placement.picture(picture))
    assert back.shape == (1710, 3384)
    assert not back[:690].any()
    line = back[690:].sum(1 if vertical else 0, dtype=float) / other
    windows = spots[:, None] + np.arange(-12, 13)
    centres = (line[windows] * windows).sum(1) / line[windows].sum(1)
    assert abs((centres - spots).mean()) < 0.02
    assert np.abs(centres - spots).max() < 1


@calm
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 12), st.integers(1, 12))
def test_nearest_is_the_nearest_pixel_centre(width: int, height: int, w: int, h: int) -> None:
    rows, columns = np.mgrid[:height, :width]
    ids = (rows * 64 + columns).astype(np.uint16)
    picked = resize(ids, (w, h), nearest=True)
    assert picked.shape == (h, w)
    for y in range(h):
        for x in range(w):
            for index, place, source, target in (
                (int(picked[y, x]) // 64, y, height, h),
                (int(picked[y, x]) % 64, x, width, w),
            ):
                at = Fraction(2 * place + 1, 2) * Fraction(source, target) - Fraction(1, 2)
                distance = abs(index - at)
                assert distance == min(abs(k - at) for k in range(source))


@pytest.mark.parametrize(("source", "target"), [(3384, 1536), (1020, 512), (1536, 3384), (512, 1020), (4095, 4096)])
def test_nearest_does_not_drift_over_a_long_side(source: int, target: int) -> None:
    picked = resize(np.arange(source, dtype=np.int32)[None], (target, 1), nearest=True)[0]
    exact = (np.arange(target) + 0.5) * source / target - 0.5
    assert np.abs(picked - exact).max() <= 0.5


def test_halfway_goes_left_and_right_in_turn() -> None:
    columns = np.tile(np.arange(8, dtype=np.uint8), (4, 1))
    assert resize(columns, (4, 4), nearest=True).tolist() == [[0, 2, 4, 6], [1, 3, 5, 7]] * 2
    assert resize(columns.T, (4, 4), nearest=True).tolist() == [[0, 1] * 2, [2, 3] * 2, [4, 5] * 2, [6, 7] * 2]


@calm
@given(
    arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.floats(0, 1, width=32)),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_shrinking_keeps_the_mean(picture: np.ndarray, w: int, h: int) -> None:
    height, width = picture.shape
    small = resize(picture, (min(w, width), min(h, height)))
    assert small.mean(dtype=float) == pytest.approx(picture.mean(dtype=float), abs=1e-5)


def test_shrinking_is_the_mean_of_the_area_covered() -> None:
    row = np.array([[1, 2, 3, 4, 5]], np.float32)
    assert resize(row, (2, 1)).tolist() == [pytest.approx([(1 + 2 + 1.5) / 2.5, (1.5 + 4 + 5) / 2.5])]


def test_growing_is_bilinear_about_half_pixels() -> None:
    row = np.array([[0, 4]], np.float32)
    assert resize(row, (4, 1)).tolist() == [[0, 1, 3, 4]]


def test_a_side_that_shrinks_is_averaged_though_the_other_grows() -> None:
    weights = []
    for position in range(10, 90):
        picture = np.zeros((10, 100), np.float32)
        picture[:, position] = 1
        weights.append(resize(picture, (25, 13))[6].sum())
    assert np.allclose(weights, 0.25, atol=1e-6)


@calm
@given(placements())
def test_pixels_take_the_map_that_points_take(placement: Placement) -> None:
    """A ramp of coordinates, sent through as a picture, says where each network pixel comes from.

    The mean of an area that cuts pixels differs from its middle by up to an eighth of a pixel.
    """
    left, top, right, bottom = placement.content
    assume(right - left > 4 and bottom - top > 4)
    rows, columns = np.mgrid[: placement.frame[1], : placement.frame[0]].astype(np.float32)
    x, y = placement.picture(columns), placement.picture(rows)
    inner = np.mgrid[left + 2 : right - 2, top + 2 : bottom - 2].reshape(2, -1).T
    wanted = placement.inverse_points(inner)
    # pixels of a border see less than their area's or neighbours' share: only what lies well inside is compared
    x0, y0, x1, y1 = placement.box
    whole = (wanted[:, 0] >= x0) & (wanted[:, 0] <= x1 - 1) & (wanted[:, 1] >= y0) & (wanted[:, 1] <= y1 - 1)
    assert np.allclose(x[inner[:, 1], inner[:, 0]][whole], wanted[whole, 0], atol=0.13)
    assert np.allclose(y[inner[:, 1], inner[:, 0]][whole], wanted[whole, 1], atol=0.13)
    mask_x, mask_y = placement.mask(columns.astype(np.uint8)), placement.mask(rows.astype(np.uint8))
    assert np.abs(mask_x[inner[:, 1], inner[:, 0]] - wanted[:, 0]).max() <= 0.5 + 1e-9
    assert np.abs(mask_y[inner[:, 1], inner[:, 0]] - wanted[:, 1]).max() <= 0.5 + 1e-9


@calm
@given(placements())
def test_sizes_bars_and_outside(placement: Placement) -> None:
    width, height = placement.frame
    picture = placement.picture(np.full((height, width, 3), 7, np.uint8))
    mask = placement.mask(np.full((height, width), 7, np.uint8))
    assert picture.shape == (placement.network[1], placement.network[0], 3)
    assert mask.shape == picture.shape[:2]
    inside = np.zeros(mask.shape, bool)
    left, top, right, bottom = placement.content
    inside[top:bottom, left:right] = True
    assert (picture[inside] == 7).all()
    assert (picture[~inside] == 114).all()
    assert (mask[inside] == 7).all()
    assert (mask[~inside] == 255).all()
    cut = np.zeros((height, width), bool)
    cut[placement.box[1] : placement.box[3], placement.box[0] : placement.box[2]] = True
    ids = placement.inverse_mask(mask, fill=3)
    values = placement.inverse_map(np.full(mask.shape, 0.5, np.float32), 0.25)
    both = placement.inverse_probabilities(np.full((2, *mask.shape), 0.5, np.float32), 1)
    assert ids.shape == values.shape == both.shape[1:] == (height, width)
    assert values.dtype == both.dtype == np.float32
    assert (ids == np.where(cut, 7, 3)).all()
    assert np.allclose(values, np.where(cut, 0.5, 0.25))
    assert np.allclose(both[0], np.where(cut, 0.5, 0))
    assert np.allclose(both[1], np.where(cut, 0.5, 1))


def test_without_a_background_nothing_holds_outside_the_crop() -> None:
    placement = Geometry((8, 4), (0, 4, 0, 0)).place((8, 8))
    outside = placement.inverse_probabilities(np.ones((2, 4, 8), np.float32), None)[:, :4]
    assert not outside.any()


@calm
@given(st.integers(4, 3000), st.integers(4, 3000), st.integers(8, 600), st.integers(8, 600))
def test_pad_keeps_the_aspect_ratio_and_the_middle(width: int, height: int, w: int, h: int) -> None:
    left, top, right, bottom = Geometry((w, h), fit="pad").place((width, height)).content
    assert 0 <= left < right <= w
    assert 0 <= top < bottom <= h
    assert right - left == w or bottom - top == h
    scale = min(w / width, h / height)
    assert right - left == pytest.approx(width * scale, abs=0.51 + (scale * min(width, height) < 0.5))
    assert bottom - top == pytest.approx(height * scale, abs=0.51 + (scale * min(width, height) < 0.5))
    assert abs(left - (w - right)) <= 1
    assert abs(top - (h - bottom)) <= 1


def test_margins_are_pixels_or_shares() -> None:
    place = Geometry(None, (10, 0.25, 0, 0.1)).place((200, 100))
    assert place.box == (10, 25, 200, 90)
    assert place.network == (190, 65)
    assert Geometry(None, (1.0, 690.0, 0, 0)).place((3384, 1710)).box == (1, 690, 3384, 1710)


def test_nothing_asked_is_nothing_done() -> None:
    placement = Geometry().place((7, 5))
    assert placement.is_identity
    picture = np.arange(105, dtype=np.uint8).reshape(5, 7, 3)
    assert np.array_equal(placement.picture(picture), picture)
    assert not Geometry((7, 6)).place((7, 5)).is_identity
    assert not Geometry(None, (1, 0, 0, 0)).place((7, 5)).is_identity


@pytest.mark.parametrize(
    ("size", "crop", "fit", "words"),
    [
        ((0, 5), (0, 0, 0, 0), "stretch", "size must be"),
        ((5, -1), (0, 0, 0, 0), "stretch", "size must be"),
        ((5,), (0, 0, 0, 0), "stretch", "size must be"),
        ((10**9, 10**9), (0, 0, 0, 0), "stretch", "each 1 to 16384"),
        (None, (0, -1, 0, 0), "stretch", "crop margins"),
        (None, (0, 1.5, 0, 0), "stretch", "crop margins"),
        (None, (0, float("nan"), 0, 0), "stretch", "crop margins"),
        (None, (0, float("inf"), 0, 0), "stretch", "crop margins"),
        (None, (0, 0, 0), "stretch", "crop margins"),
        (None, (0, 0, 0, 0), "crop", "fit must be 'stretch' or 'pad', not 'crop'"),
    ],
)
def test_what_makes_no_sense_is_refused(size: object, crop: object, fit: str, words: str) -> None:
    with pytest.raises(InputError, match=f"^geometry: .*{words}"):
        Geometry(size, crop, fit)  # type: ignore[arg-type]


def test_a_crop_that_leaves_nothing_names_the_picture() -> None:
    with pytest.raises(InputError, match=r"leave nothing of a 100x50 picture"):
        Geometry(None, (0, 50, 0, 0)).place((100, 50))
    with pytest.raises(InputError, match="leave nothing"):
        Geometry(None, (0.5, 0, 0.5, 0)).place((100, 50))


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"placement is for \(8, 6\), the picture is 6x8"):
        Geometry((4, 4)).place((8, 6)).picture(np.zeros((8, 6, 3), np.uint8))


@calm
@given(
    st.none() | st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    st.tuples(*[st.integers(0, 900) | st.floats(0, 0.999)] * 4),
    FITS,
)
def test_a_dictionary_gives_an_equal_geometry_back(
    size: tuple[int, int] | None, crop: tuple[float, float, float, float], fit: str
) -> None:
    geometry = Geometry(size, crop, fit)
    assert Geometry.from_dict(json.loads(json.dumps(geometry.to_dict()))) == geometry


@pytest.mark.parametrize(
    "data",
    [
        {"size": 5},
        {"size": [5]},
        {"size": ["a", "b"]},
        {"size": [float("inf"), 5]},
        {"crop": [0, 0, 0]},
        {"crop": 3},
        {"crop": ["a", "b", "c", "d"]},
        {"fit": 3},
        [],
        "stretch",
        None,
        {"size": {"width": 3}},
    ],
)
def test_what_is_no_geometry_is_refused_in_one_line(data: object) -> None:
    with pytest.raises(InputError, match="geometry") as caught:
        Geometry.from_dict(data)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fit", ["stretch", "pad"])
@pytest.mark.parametrize(
    ("frame", "crop", "size", "tolerance"),
    [
        ((160, 90), (0, 0, 0, 0), (96, 48), 0.6),
        ((160, 120), (0, 40, 0, 0), (96, 48), 0.6),
        ((161, 91), (0, 0, 0, 0), (96, 48), 1.1),  # the last chroma sample lies half outside
        ((160, 120), (0, 41, 0, 0), (96, 48), 1.1),  # the cut goes through chroma samples
        ((40, 30), (0, 0, 0, 0), (96, 64), 0.6),
    ],
)
def test_chroma_lies_where_luma_lies(
    frame: tuple[int, int], crop: tuple[int, int, int, int], size: tuple[int, int], tolerance: float, fit: str
) -> None:
    """Coordinate ramps again: a chroma sample sits in the middle of its two by two pixels. Tolerance in pixels."""
    placement = Geometry(size, crop, fit).place(frame)
    rows, columns = np.mgrid[: -(-frame[1] // 2), : -(-frame[0] // 2)].astype(np.float32) * 2 + 0.5
    x, y = placement.plane(columns, 0), placement.plane(rows, 0)
    left, top, right, bottom = placement.content
    inner = np.mgrid[left + 3 : right - 3, top + 3 : bottom - 3].reshape(2, -1).T
    wanted = placement.inverse_points(inner)
    assert x.shape == (size[1], size[0])
    assert np.abs(x[inner[:, 1], inner[:, 0]] - wanted[:, 0]).max() < tolerance
    assert np.abs(y[inner[:, 1], inner[:, 0]] - wanted[:, 1]).max() < tolerance
    assert abs((x[inner[:, 1], inner[:, 0]] - wanted[:, 0]).mean()) < tolerance - 0.5
    bars = placement.plane(columns * 0, 128)
    assert (bars[:top] == 128).all()


def test_resize_leaves_the_same_size_alone_and_keeps_channels() -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    assert resize(picture, (6, 4)) is picture
    assert resize(picture, (3, 9)).shape == (9, 3, 3)
    assert resize(picture, (3, 9), nearest=True).shape == (9, 3, 3)
    assert cv2.getNumThreads() >= 1


def test_sizes_in_words() -> None:
    assert parse_size("1536x512") == (1536, 512)
    assert parse_size("64X32") == (64, 32)
    for text in ("1536", "x512", "0x5", "-3x4", "axb", "1536x512x3", ""):
        with pytest.raises(InputError, match="a size is WIDTHxHEIGHT"):
            parse_size(text)
