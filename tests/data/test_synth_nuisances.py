"""What is drawn to mislead: seen in the picture, never in the mask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lanecli.data.synth.nuisances import Nuisances, draw_in_front, make_nuisances
from lanecli.data.synth.render import Pose, render
from lanecli.data.synth.world import World, make_world, stream

SIZE = (160, 90)


@pytest.fixture(scope="module")
def worlds() -> list[World]:
    return [make_world(seed) for seed in range(100, 140)]


def test_they_are_drawn_often_and_alike_for_a_seed(worlds: list[World]) -> None:
    made = [world.nuisances for world in worlds]
    assert sum(bool(things.highlight[0]) for things in made) > 5
    assert sum(len(things.reflections) > 0 for things in made) > 5
    assert sum(any(t.darkness < 0 and t.width > 0.06 for t in things.traces) for things in made) > 5
    assert any(len(things.lamps) for things in made)
    assert any(things.fade < 1 for things in made)
    world = worlds[3]
    again = make_nuisances(stream(world.seed, "nuisances"), world.cross_section, world.scenery, world.light)
    assert again.highlight == world.nuisances.highlight
    assert np.array_equal(again.reflections, world.nuisances.reflections)
    assert make_world(world.seed, clip=True).nuisances.traces == ()


def test_all_but_the_wiper_leave_the_mask_as_it_is(worlds: list[World]) -> None:
    changed = 0
    for world in worlds[:6]:
        with_them = render(replace(world, nuisances=replace(world.nuisances, wiper=None)), SIZE, Pose())
        without = render(replace(world, nuisances=Nuisances()), SIZE, Pose())
        assert np.array_equal(with_them.mask, without.mask)
        changed += not np.array_equal(with_them.image, without.image)
    assert changed >= 4


def test_a_wiper_hides_what_is_behind_it() -> None:
    lit, mask = np.full((90, 160, 3), 100, np.float32), np.ones((90, 160), np.uint8)
    draw_in_front(lit, mask, Nuisances(wiper=(0.5, 1.02, 0.0, 0.05)))
    assert 0.01 < (mask == 0).mean() < 0.1
    assert (lit[mask == 0] < 60).all()
    assert (lit[:, :40] == 100).all()
