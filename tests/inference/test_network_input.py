"""The network's picture from planes against the one from the frame's own RGB."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lanecli.geometry import Geometry
from lanecli.inference.network_input import network_picture, place
from lanecli.media.colour import Colour
from lanecli.media.frame import Frame

COLOURS = [Colour(matrix, span) for matrix in (1, 5, 6, 9, 2) for span in (1, 2)]


def coloured(size: tuple[int, int]) -> np.ndarray:
    """A picture of soft coloured shapes and a sharp white line, in levels no range clips."""
    width, height = size
    rows, columns = np.mgrid[:height, :width] / 17.0
    picture = np.stack([128 + 70 * np.sin(columns + i) * np.cos(rows * (1 + i / 3)) for i in range(3)], -1)
    picture[:, width // 3 : width // 3 + 5] = 220
    return picture


def planar(rgb: np.ndarray, colour: Colour) -> Frame:
    """I420 by the matrix itself, chroma the mean of two by two."""
    y, u, v = np.moveaxis(colour.encode(rgb), -1, 0)
    half = ((rgb.shape[1] + 1) // 2, (rgb.shape[0] + 1) // 2)
    even = [np.pad(plane, ((0, rgb.shape[0] % 2), (0, rgb.shape[1] % 2)), mode="edge") for plane in (u, v)]
    small = [cv2.resize(plane, half, interpolation=cv2.INTER_AREA) for plane in even]
    y, u, v = (np.rint(plane).clip(0, 255).astype(np.uint8) for plane in (y, *small))
    return Frame.from_planes(y, u, v, colour=colour)


@pytest.mark.parametrize(
    "colour", COLOURS, ids=lambda c: f"{c.name}-{'full' if c.full_range else 'limited'}-{c.matrix}"
)
@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_planes_become_what_rgb_becomes(colour: Colour, fit: str) -> None:
    rgb = coloured((320, 180))
    frame = planar(rgb, colour)
    placement = place(Geometry((160, 96), (0, 40, 0, 0), fit), frame.size, (160, 96))
    seen = network_picture(frame, placement)
    assert (seen.shape, seen.dtype) == ((96, 160, 3), np.uint8)
    # the frame's own RGB comes from swscale, which is a level too dark; the picture encoded here is the truth
    for other, most, bias in ((frame.rgb(), 1.5, 1.8), (rgb.astype(np.float32), 0.8, 0.4)):
        difference = seen.astype(float) - placement.picture(other)
        assert np.abs(difference).mean() < most
        assert np.percentile(np.abs(difference), 99) < 4
        assert np.abs(difference.mean((0, 1))).max() < bias


@pytest.mark.parametrize("size", [(161, 91), (160, 91), (161, 90), (64, 48), (2, 2)])
def test_odd_and_small_frames(size: tuple[int, int]) -> None:
    frame = planar(coloured(size) if size[0] > 16 else np.full((2, 2, 3), 128.0), COLOURS[0])
    placement = place(Geometry((96, 64)), frame.size, (96, 64))
    difference = network_picture(frame, placement).astype(float) - placement.picture(frame.rgb())
    assert np.abs(difference).mean() < 2.5


@pytest.mark.parametrize("colour", COLOURS[:4], ids=lambda c: f"{c.name}-{c.range}")
def test_flat_colours_come_through(colour: Colour) -> None:
    for rgb in ([0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 200, 30], [114, 114, 114]):
        frame = planar(np.full((32, 32, 3), rgb, float), colour)
        seen = network_picture(frame, place(Geometry((16, 16)), (32, 32), (16, 16)))
        assert np.abs(seen.astype(int) - rgb).max() <= 2


@pytest.mark.parametrize("colour", COLOURS[:4], ids=lambda c: f"{c.name}-{c.range}")
def test_bars_are_grey_whatever_the_colours(colour: Colour) -> None:
    frame = planar(np.full((32, 64, 3), 250.0), colour)
    seen = network_picture(frame, place(Geometry((32, 32), fit="pad"), (64, 32), (32, 32)))
    assert np.abs(seen[:7].astype(int) - 114).max() <= 2
    assert (seen[10:20] >= 248).all()


def test_rgb_frames_go_through_the_geometry_alone() -> None:
    rgb = coloured((90, 60)).astype(np.uint8)
    placement = place(Geometry((48, 32), (0, 9, 0, 0)), (90, 60), (48, 32))
    assert np.array_equal(network_picture(Frame.from_rgb(rgb), placement), placement.picture(rgb))


def test_the_size_is_the_backends_not_the_models() -> None:
    placement = place(Geometry((1536, 512), (0, 10, 0, 0), "pad"), (90, 60), (48, 32))
    assert placement.network == (48, 32)
    assert placement.box == (0, 10, 90, 60)
    assert place(Geometry(None, (0, 10, 0, 0)), (90, 60), (48, 32)).network == (48, 32)
