from __future__ import annotations

import numpy as np
import pytest

from lanecli.draw.heatmap import HeatmapPainter, hatch, heat_colours
from lanecli.errors import LaneError
from lanecli.media import Colour, Frame


def grey(height: int, width: int, planar: bool, colour: Colour | None = None) -> Frame:
    half = ((height + 1) // 2, (width + 1) // 2)
    planes = Frame.from_planes(
        np.full((height, width), 120, np.uint8),
        np.full(half, 128, np.uint8),
        np.full(half, 128, np.uint8),
        colour=colour or Colour(6, 1),
    )
    return planes if planar else Frame.from_rgb(planes.rgb().copy())


def test_colours_rise_in_lightness():
    lightness = heat_colours() @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(lightness) > -0.8).all()
    assert lightness[-1] - lightness[0] > 200


@pytest.mark.parametrize("planar", [True, False])
@pytest.mark.parametrize("size", [(64, 32), (63, 31), (1, 1), (2, 3), (5, 1)])
def test_every_pixel_has_the_colour_of_its_value(planar, size):
    width, height = size
    frame = grey(height, width, planar)
    before = frame.rgb().astype(float)
    # alike in each block of four pixels, which share a colour in planes
    values = np.linspace(0, 1, width, dtype=np.float32)[None, np.arange(width) // 2 * 2].repeat(height, 0)
    HeatmapPainter("entropy", 0, 1, legend=False).paint(frame, values)
    index = np.rint(values * 255).astype(int)
    weight = (0.35 + 0.5 * values)[..., None]
    wanted = before * (1 - weight) + heat_colours()[index] * weight
    # swscale interpolates chroma between neighbouring blocks
    assert np.abs(frame.rgb() - wanted).max() <= (12 if planar else 3)
    assert np.abs(frame.rgb() - wanted).mean() <= (3 if planar else 1)


def test_scales_may_fall_and_ends_hold():
    falling, rising = grey(16, 16, False), grey(16, 16, False)
    values = np.linspace(-300, -50, 256, dtype=np.float32).reshape(16, 16)
    HeatmapPainter("log density", -100, -200, legend=False).paint(falling, values)
    HeatmapPainter("energy", 100, 200, legend=False).paint(rising, -values)
    assert (falling.rgb() == rising.rgb()).all()
    assert (falling.rgb()[values <= -200] == falling.rgb()[0, 0]).all()
    assert (falling.rgb()[values >= -100] == falling.rgb()[-1, -1]).all()
    assert falling.rgb()[0, 0].astype(int).sum() > falling.rgb()[-1, -1].astype(int).sum() + 200


@pytest.mark.parametrize("planar", [True, False])
def test_the_colour_bar_is_drawn_in_the_corner_and_only_there(planar):
    with_bar, without = grey(270, 480, planar), grey(270, 480, planar)
    values = np.zeros((270, 480), np.float32)
    HeatmapPainter("log feature density", -100, -900).paint(with_bar, values)
    HeatmapPainter("log feature density", -100, -900, legend=False).paint(without, values)
    ys, xs = np.nonzero((with_bar.rgb() != without.rgb()).any(-1))
    assert 0 < ys.min() < 27
    assert 0 < xs.min() < 48
    assert ys.max() < 135
    assert xs.max() < 300
    bright = with_bar.rgb()[ys.min() : ys.max(), xs.min() : xs.max()].reshape(-1, 3)
    for colour in heat_colours()[[60, 128, 250]].astype(int):
        assert (np.abs(bright.astype(int) - colour).max(1) <= 12).sum() >= 3


@pytest.mark.parametrize("planar", [True, False])
def test_hatching_changes_the_region_alone_and_shows_on_any_ground(planar):
    for level in (16, 128, 235):
        frame = grey(60, 80, planar)
        if planar:
            frame.y[:] = level
        else:
            frame.rgb()[:] = level
        before = frame.rgb().copy()
        region = np.zeros((60, 80), bool)
        region[20:40, 10:50] = True
        hatch(frame, region)
        changed = np.abs(frame.rgb().astype(int) - before).max(-1) > 30
        assert not changed[~region].any()
        assert 0.05 < changed[region].mean() < 0.4
    untouched = grey(8, 8, planar)
    hatch(untouched, np.zeros((8, 8), bool))
    assert (untouched.rgb() == grey(8, 8, planar).rgb()).all()


def test_wrong_maps_and_scales_are_refused():
    frame = grey(4, 6, False)
    with pytest.raises(LaneError, match="the frame"):
        HeatmapPainter("entropy", 0, 1).paint(frame, np.zeros((6, 4), np.float32))
    with pytest.raises(LaneError, match="two different finite numbers"):
        HeatmapPainter("entropy", 1, 1)
    frame.writable = False
    with pytest.raises(LaneError, match="read-only"):
        HeatmapPainter("entropy", 0, 1).paint(frame, np.zeros((4, 6), np.float32))
