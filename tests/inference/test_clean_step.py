"""The cleaning step: what is shown is clean; the network's own class map stays, unless the user asks otherwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lanecli.errors import InputError
from lanecli.inference.prediction import Prediction
from lanecli.inference.recipe import Recipe
from lanecli.inference.steps import StepContext, clean
from lanecli.inference.steps.certain import Certain
from lanecli.inference.steps.clean import Clean
from lanecli.labelmaps import label_map
from lanecli.labels import LabelMap
from lanecli.media import Frame

LANE = label_map("lane")


def prediction(classes: LabelMap = LANE) -> Prediction:
    """A line below a speck in the sky."""
    class_map = np.zeros((360, 640), np.uint8)
    class_map[200:, 300:312] = 1
    class_map[10:20, 40:60] = 1
    return Prediction(Frame.from_rgb(np.full((360, 640, 3), 90, np.uint8)), classes, class_map)


def applied(step: Clean, to: Prediction, is_video: bool = False) -> Prediction:
    return step.start(StepContext(to.label_map, is_video))(to)


def test_what_is_shown_is_clean_and_the_class_map_stays() -> None:
    before = prediction()
    after = applied(Clean(), before)
    assert after.class_map is before.class_map
    assert not after.shown_map[:100].any()
    assert np.array_equal(after.shown_map[100:], before.class_map[100:])
    assert before.shown_map is before.class_map


def test_the_class_map_is_cleaned_where_it_is_asked_for() -> None:
    after = applied(Clean(everywhere=True), prediction())
    assert not after.class_map[:100].any()
    assert after.shown_map is after.class_map


@pytest.mark.parametrize("name", ["camvid-11", "cityscapes-19", "bdd100k-drivable", "apolloscape-8"])
def test_what_is_not_paint_is_not_judged_as_paint(name: str) -> None:
    before = prediction(label_map(name))
    assert applied(Clean(), before) is before


def test_several_labels_at_once_are_left_and_refused_where_asked_for() -> None:
    several = replace(LANE, name="both", multilabel=True)
    Clean().check(several)
    before = prediction(several)
    assert applied(Clean(), before) is before
    with pytest.raises(InputError, match="'both' lacks one of them"):
        Clean(everywhere=True).check(several)


def test_doubtful_pixels_are_undecided_in_what_is_shown_too() -> None:
    after = applied(Clean(), prediction())
    entropy = np.zeros((360, 640), np.float32)
    entropy[300:] = 1
    certain = Certain(0.5).start(StepContext(LANE))(replace(after, maps={"entropy": entropy}))
    for found in (certain.class_map, certain.shown_map):
        assert (found[300:] == 255).all()
    assert certain.class_map[10:20, 40:60].all()
    assert not certain.shown_map[:100].any()


def test_a_video_looks_for_the_bonnet_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    monkeypatch.setattr(clean, "bonnet_edge", lambda picture: looked.append(1))
    before = prediction()
    before.class_map[340:344, 200:204] = 1  # it might be a reflection
    step = Clean().start(StepContext(LANE, is_video=True))
    for _ in range(30):
        step(before)
    assert len(looked) == 3


@pytest.mark.parametrize(("keep", "steps"), [((), 0), (("planes",), 0), (("shown_map",), 1), (("lanes",), 2)])
def test_it_runs_for_overlays_and_lane_lines(keep: tuple[str, ...], steps: int) -> None:
    assert len(Recipe(precision="fp32").open(keep).steps) == steps
