from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanecli.draw import STYLES, OverlayPainter, OverlayStyle, colour_map
from lanecli.errors import InputError, LaneError
from lanecli.media import Colour, Frame

PALETTE = np.array([[0, 0, 0], [0, 200, 255], [255, 60, 120], [250, 210, 20]], np.uint8)
NAMES = ["background", "solid", "broken", "arrow"]
PLAIN = OverlayStyle(contour=0)


def planes(height: int, width: int, colour: Colour, seed: int = 0) -> Frame:
    """Planes of valid colours: made from RGB with the definition, not with a library."""
    rng = np.random.default_rng(seed)
    rgb = rng.integers(30, 226, (height + height % 2, width + width % 2, 3))
    rgb = np.repeat(np.repeat(rgb[::2, ::2], 2, axis=0), 2, axis=1)
    y, u, v = np.moveaxis(np.round(colour.encode(rgb)).astype(np.uint8), -1, 0)
    half = (slice(None, None, 2), slice(None, None, 2))
    return Frame.from_planes(y[:height, :width].copy(), u[half].copy(), v[half].copy(), colour=colour)


def blocks(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A class map of patches, ids 0..3 and 255."""
    rng = np.random.default_rng(seed)
    coarse = rng.choice(np.array([0, 0, 1, 2, 3, 255], np.uint8), ((height + 4) // 5, (width + 6) // 7))
    return np.repeat(np.repeat(coarse, 5, axis=0), 7, axis=1)[:height, :width].copy()


def reference_rim(class_map: np.ndarray, rim: int) -> np.ndarray:
    """Pixels with another class (or none) within the ellipse of `rim`, counted one by one."""
    height, width = class_map.shape
    drawn = np.where(class_map < 4, class_map, 0)
    out = np.zeros(class_map.shape, bool)
    reach = [(dy, dx) for dy in range(-rim, rim + 1) for dx in range(-rim, rim + 1) if dy == 0 or dx == 0]
    assert rim == 1, "OpenCV's ellipse of radius 1 is a cross"
    for y in range(height):
        for x in range(width):
            for dy, dx in reach:
                if 0 <= y + dy < height and 0 <= x + dx < width and drawn[y + dy, x + dx] != drawn[y, x]:
                    out[y, x] = True
    return out


def weights(class_map: np.ndarray, alpha: float | tuple[float, ...], rim: int) -> np.ndarray:
    alphas = np.array([0, *(alpha[1:] if isinstance(alpha, tuple) else [alpha] * 3)], float)
    drawn = np.where(class_map < 4, class_map, 0)
    weight = alphas[drawn]
    if rim:
        weight = np.where(reference_rim(class_map, rim) & (drawn > 0), 1.0, weight)
    return weight


@pytest.mark.parametrize("shape", [(48, 64), (47, 63), (48, 63), (47, 64), (3, 5), (1, 1)])
@pytest.mark.parametrize("colour", [Colour(6, 1), Colour(1, 1), Colour(9, 1), Colour(1, 2)])
@pytest.mark.parametrize(("alpha", "rim"), [(0.5, 0), (0.5, 1), (0.3, 0), ((0.0, 1.0, 0.2, 0.6), 1)])
def test_planes_equal_blending_in_full_colour(shape, colour, alpha, rim):
    frame, class_map = planes(*shape, colour), blocks(*shape)
    before = [plane.astype(float) for plane in frame.planes]
    OverlayPainter(PALETTE, names=NAMES, style=OverlayStyle(alpha=alpha, contour=rim)).paint(frame, class_map)
    weight = weights(class_map, alpha, rim)
    target = colour.encode(PALETTE)[np.where(class_map < 4, class_map, 0)]
    np.testing.assert_allclose(frame.y, before[0] * (1 - weight) + target[..., 0] * weight, atol=1.6)
    # Chroma: every pixel blended at full size, then the mean of each block of four.
    for channel, plane, old in ((1, frame.u, before[1]), (2, frame.v, before[2])):
        full = np.repeat(np.repeat(old, 2, axis=0), 2, axis=1)[: shape[0], : shape[1]]
        full = full * (1 - weight) + target[..., channel] * weight
        full = np.pad(full, ((0, shape[0] % 2), (0, shape[1] % 2)), mode="edge")
        mean = full.reshape(full.shape[0] // 2, 2, full.shape[1] // 2, 2).mean(axis=(1, 3))
        np.testing.assert_allclose(plane, mean, atol=2.1)


@pytest.mark.parametrize("colour", [Colour(6, 1), Colour(1, 1), Colour(1, 2)])
def test_planes_look_like_the_blend_in_rgb(colour):
    frame, class_map = planes(48, 64, colour), np.zeros((48, 64), np.uint8)
    class_map[8:40, 8:24], class_map[8:40, 24:56] = 1, 2
    rgb = frame.rgb().astype(float)
    expected = np.where(class_map[..., None] > 0, 0.5 * rgb + 0.5 * PALETTE[class_map], rgb)
    OverlayPainter(PALETTE, names=NAMES, style=PLAIN).paint(frame, class_map)
    # Chroma beside an edge is interpolated by the converter, so compare away from edges.
    inner = np.zeros((48, 64), bool)
    inner[12:36, 12:20] = inner[12:36, 28:52] = True
    assert np.abs(frame.rgb().astype(float) - expected)[inner].max() <= 5


@pytest.mark.parametrize("shape", [(40, 50), (41, 51)])
@pytest.mark.parametrize(("alpha", "rim"), [(0.5, 0), (0.5, 1), (0.25, 1)])
def test_rgb_equals_the_definition(shape, alpha, rim):
    picture = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    class_map = blocks(*shape, seed=2)
    frame = Frame.from_rgb(picture.copy())
    OverlayPainter(PALETTE, names=NAMES, style=OverlayStyle(alpha=alpha, contour=rim)).paint(frame, class_map)
    weight = weights(class_map, alpha, rim)[..., None]
    target = PALETTE[np.where(class_map < 4, class_map, 0)]
    np.testing.assert_allclose(frame.rgb(), picture * (1 - weight) + target * weight, atol=1.6)


@given(seed=st.integers(0, 2**31), height=st.integers(1, 40), width=st.integers(1, 40), planar=st.booleans())
@settings(deadline=None)
def test_background_and_ignore_are_left_as_they_are(seed, height, width, planar):
    class_map = blocks(height, width, seed)
    colour = Colour(6, 1)
    frame = planes(height, width, colour, seed)
    if not planar:
        frame = Frame.from_rgb(frame.rgb().copy())
    before = frame.copy()
    OverlayPainter(PALETTE, names=NAMES).paint(frame, class_map)
    empty = (class_map == 0) | (class_map == 255)
    if planar:
        np.testing.assert_array_equal(frame.y[empty], before.y[empty])
        padded = np.pad(empty, ((0, height % 2), (0, width % 2)), constant_values=True)
        block = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2).all(axis=(1, 3))
        np.testing.assert_array_equal(frame.u[block], before.u[block])
        np.testing.assert_array_equal(frame.v[block], before.v[block])
    else:
        np.testing.assert_array_equal(frame.rgb()[empty], before.rgb()[empty])


def test_nothing_to_draw_changes_nothing():
    frame = planes(20, 30, Colour(6, 1))
    before = frame.copy()
    painter = OverlayPainter(PALETTE, names=NAMES)
    for value in (0, 255):
        painter.paint(frame, np.full((20, 30), value, np.uint8))
    for plane, old in zip(frame.planes, before.planes, strict=True):
        np.testing.assert_array_equal(plane, old)


def test_background_may_be_any_class_or_none():
    class_map = np.array([[0, 1, 2, 255]], np.uint8)
    for background, drawn in ((2, [True, True, False, False]), (None, [True, True, True, False])):
        frame = Frame.from_rgb(np.full((1, 4, 3), 100, np.uint8))
        OverlayPainter(PALETTE, names=NAMES, background=background, style=PLAIN).paint(frame, class_map)
        assert [bool((pixel != 100).any()) for pixel in frame.rgb()[0]] == drawn


def test_a_palette_of_256_rows_draws_only_the_named_classes():
    palette = np.zeros((256, 3), np.uint8)
    palette[:4] = PALETTE
    frame = Frame.from_rgb(np.full((1, 3, 3), 100, np.uint8))
    OverlayPainter(palette, names=NAMES, style=PLAIN).paint(frame, np.array([[1, 4, 200]], np.uint8))
    assert [bool((pixel != 100).any()) for pixel in frame.rgb()[0]] == [True, False, False]


def test_a_region_gives_the_same_picture():
    class_map = np.zeros((60, 80), np.uint8)
    class_map[21:33, 17:44], class_map[40, 41] = 1, 2
    with_region, without = planes(60, 80, Colour(1, 1)), planes(60, 80, Colour(1, 1))
    painter = OverlayPainter(PALETTE, names=NAMES)
    painter.paint(without, class_map)
    painter.paint(with_region, class_map, region=(10, 15, 50, 40))
    for plane, other in zip(with_region.planes, without.planes, strict=True):
        np.testing.assert_array_equal(plane, other)


def test_styles():
    class_map = np.zeros((40, 40), np.uint8)
    class_map[10:30, 10:30] = 1
    pictures = {}
    for style in STYLES:
        frame = Frame.from_rgb(np.full((40, 40, 3), 100, np.uint8))
        OverlayPainter(PALETTE, names=NAMES, style=OverlayStyle(style)).paint(frame, class_map)
        pictures[style] = frame.rgb()
    full, half = PALETTE[1].astype(int), (PALETTE[1].astype(int) + 100) / 2
    assert (pictures["solid"][10:30, 10:30] == full).all()
    assert np.abs(pictures["fill"][20, 20] - half).max() <= 1
    assert (pictures["fill"][10, 20] == full).all()
    assert (pictures["contour"][20, 20] == 100).all()
    # A line on both sides of the edge.
    assert (pictures["contour"][10, 20] == full).all()
    assert (pictures["contour"][9, 20] == full).all()
    assert (pictures["contour"][8, 20] == 100).all()


@pytest.mark.parametrize(("side", "rim"), [(100, 1), (540, 1), (720, 1), (1080, 2), (2160, 4)])
def test_the_rim_grows_with_the_picture(side, rim):
    assert OverlayStyle().rim((side * 2, side)) == rim
    assert OverlayStyle("solid").rim((side * 2, side)) == 0


def test_misuse_is_one_clear_line():
    painter = OverlayPainter(PALETTE, names=NAMES)
    with pytest.raises(LaneError, match="class map is"):
        painter.paint(planes(20, 30, Colour()), np.zeros((30, 20), np.uint8))
    read_only = np.zeros((20, 30, 3), np.uint8)
    read_only.flags.writeable = False
    with pytest.raises(LaneError, match="read-only"):
        painter.paint(Frame.from_rgb(read_only), np.zeros((20, 30), np.uint8))
    with pytest.raises(InputError, match="choose one of fill"):
        OverlayStyle("glitter")
    with pytest.raises(InputError, match="between 0 and 1"):
        OverlayStyle(alpha=1.5)
    with pytest.raises(InputError, match="2 values for 4 classes"):
        OverlayPainter(PALETTE, names=NAMES, style=OverlayStyle(alpha=(0.1, 0.2)))
    with pytest.raises(InputError, match="at most 127"):
        OverlayPainter(np.zeros((200, 3), np.uint8))


def test_colour_map():
    class_map = np.array([[0, 1], [3, 255]], np.uint8)
    np.testing.assert_array_equal(colour_map(class_map, PALETTE), [[PALETTE[0], PALETTE[1]], [PALETTE[3], [0, 0, 0]]])
