"""What a person gets to correct: the model's own prediction of a chosen frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from lanes.flat_roads import Road, error

from lanecli.inference.prediction import Prediction
from lanecli.inference.select import annotation_of, label_list
from lanecli.labelmaps import label_map
from lanecli.labels import LabelClass
from lanecli.media import Frame


def prediction_of(road: Road) -> Prediction:
    width, height = road.size
    doubt = np.zeros((height, width), np.float32)
    doubt[200:220, 10:40] = 0.69
    frame = Frame.from_rgb(np.zeros((height, width, 3), np.uint8))
    return Prediction(frame, label_map("lane"), road.mask(), maps={"entropy": doubt})


def test_lane_lines_doubtful_regions_and_paint_have_a_label_each() -> None:
    road = Road()
    annotation = annotation_of(prediction_of(road), "a.png", {"entropy": (0.0, 0.693)})
    assert label_list(label_map("lane"))[0] == ["lane marking", "doubtful", "curve"]
    assert {line.label for line in annotation.lines} == {"curve"}
    for line, true in zip(annotation.lines, road.lines, strict=True):
        assert error(np.asarray(line.points), road.truth(true)) < 3
    doubtful = [region for region in annotation.regions if region.label == "doubtful"]
    assert [(region.left, region.top, *region.patch.shape) for region in doubtful] == [(10, 200, 20, 30)]
    drawn = np.zeros(road.size[::-1], bool)
    for region in annotation.regions:
        if region.label == "lane marking":
            rows, columns = region.patch.shape
            drawn[region.top : region.top + rows, region.left : region.left + columns] |= region.patch
    assert (drawn == road.mask()).all()


def test_classes_without_a_lane_line_have_no_curves() -> None:
    classes = (label_map("lane").classes[0], LabelClass("kerb", (1, 2, 3), (1,)))
    kerbs = replace(label_map("lane"), name="kerbs", classes=classes)
    annotation = annotation_of(replace(prediction_of(Road()), label_map=kerbs), "a.png", {"entropy": (0.0, 0.693)})
    assert label_list(kerbs)[0] == ["kerb", "doubtful"]
    assert annotation.lines == ()
