from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanecli.errors import LaneError
from lanecli.media import Colour, Frame
from lanecli.media.orientation import Orientation

LIMITED, FULL = 1, 2


@pytest.mark.parametrize(
    ("colour", "rgb", "expected"),
    [
        # Hand-computed from the definitions: Y' = 16 + 219 (Kr R + Kg G + Kb B); Cb = 128 + 112 (B - Y) / (1 - Kb).
        (Colour(6, LIMITED), (255, 255, 255), (235.0, 128.0, 128.0)),
        (Colour(6, LIMITED), (0, 0, 0), (16.0, 128.0, 128.0)),
        (Colour(6, LIMITED), (255, 0, 0), (81.481, 90.203, 240.0)),
        (Colour(1, LIMITED), (255, 0, 0), (62.559, 102.336, 240.0)),
        (Colour(1, LIMITED), (0, 0, 255), (31.812, 240.0, 117.729)),
        (Colour(9, LIMITED), (0, 255, 0), (164.482, 47.277, 25.008)),
        (Colour(6, FULL), (255, 0, 0), (76.245, 84.972, 255.5)),
    ],
)
def test_colour_encodes_hand_computed_values(colour, rgb, expected):
    np.testing.assert_allclose(colour.encode(np.array(rgb)), expected, atol=2e-3)


def test_unspecified_matrix_is_taken_as_bt601():
    assert Colour().name == "bt601"
    np.testing.assert_array_equal(Colour().encode(np.array([9, 80, 200])), Colour(6, 1).encode(np.array([9, 80, 200])))


@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
@pytest.mark.parametrize("span", [LIMITED, FULL])
@given(rgb=st.tuples(*[st.integers(0, 255)] * 3))
def test_rgb_inverts_the_matrix_and_range(matrix, span, rgb):
    colour = Colour(matrix, span)
    numbers = np.clip(np.round(colour.encode(np.array(rgb))), 0, 255).astype(np.uint8)
    planes = [np.full(shape, value, np.uint8) for shape, value in zip([(16, 16), (8, 8), (8, 8)], numbers, strict=True)]
    out = Frame.from_planes(*planes, colour=colour).rgb()
    # Rounding of three 8-bit numbers, times the largest coefficient of the inverse (about 2.1).
    assert np.abs(out.astype(int) - np.array(rgb)).max() <= 3


@pytest.mark.parametrize("size", [(64, 48), (63, 48), (64, 47), (63, 47), (2, 2), (1, 1)])
def test_sizes_odd_and_even(size):
    width, height = size
    y = np.full((height, width), 90, np.uint8)
    u = v = np.full(((height + 1) // 2, (width + 1) // 2), 128, np.uint8)
    frame = Frame.from_planes(y, u, v, colour=Colour(6, LIMITED))
    assert frame.size == size
    assert frame.rgb().shape == (height, width, 3)
    assert np.abs(frame.rgb().astype(int) - round((90 - 16) * 255 / 219)).max() <= 1


def test_planes_are_read_only_views_into_the_decoders_memory():
    native = av.VideoFrame(63, 47, "yuv420p")
    frame = Frame.from_native(native, 0, colour=Colour())
    for plane, shape, memory in zip(frame.planes, [(47, 63), (24, 32), (24, 32)], native.planes, strict=True):
        assert plane.shape == shape
        assert np.shares_memory(plane, np.frombuffer(memory, np.uint8))
        with pytest.raises(ValueError, match="read-only"):
            plane[0, 0] = 1
    assert not frame.writable
    copy = frame.copy()
    assert copy.writable
    assert not np.shares_memory(copy.y, frame.y)


def test_views_outlive_the_frame():
    native = av.VideoFrame(64, 48, "yuv420p")
    np.frombuffer(native.planes[0], np.uint8)[:] = 77
    y = Frame.from_native(native, 0, colour=Colour()).y
    del native
    assert (y == 77).all()


def test_time_is_exact():
    frame = Frame.from_rgb(np.zeros((2, 2, 3), np.uint8), 7, 3003, Fraction(1, 90_000))
    assert (frame.index, frame.pts, frame.time) == (7, 3003, 3003 / 90_000)
    assert Frame.from_rgb(np.zeros((2, 2, 3), np.uint8)).time is None


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_planes_turn_as_numpy_turns(turn, mirrored):
    rng = np.random.default_rng(1)
    y, u, v = (rng.integers(0, 256, shape, np.uint8) for shape in ((5, 7), (3, 4), (3, 4)))
    frame = Frame.from_planes(y, u, v, 3, 40, Fraction(1, 25), colour=Colour(1, 1))
    frame, turns = frame.upright(Orientation(mirrored, turn)), turn // 90
    for out, plane in zip(frame.planes, (y, u, v), strict=True):
        np.testing.assert_array_equal(out, np.rot90(plane[:, ::-1] if mirrored else plane, turns))
    assert (frame.index, frame.pts, frame.colour) == (3, 40, Colour(1, 1))
    rgb = rng.integers(0, 256, (4, 6, 3), np.uint8)
    expected = np.rot90(rgb[:, ::-1] if mirrored else rgb, turns)
    np.testing.assert_array_equal(Frame.from_rgb(rgb).upright(Orientation(mirrored, turn)).rgb(), expected)


def test_wrong_shapes_are_refused():
    y, half = np.zeros((5, 7), np.uint8), np.zeros((3, 4), np.uint8)
    with pytest.raises(LaneError, match="chroma"):
        Frame.from_planes(y, half, np.zeros((2, 3), np.uint8), colour=Colour())
    with pytest.raises(LaneError, match="RGB uint8"):
        Frame.from_rgb(np.zeros((5, 7), np.uint8))
    with pytest.raises(LaneError, match="holds RGB"):
        _ = Frame.from_rgb(np.zeros((5, 7, 3), np.uint8)).y
