"""Sinks leave the frame as it is, whatever the order, and say what they were asked."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from lanecli.inference.prediction import Prediction
from lanecli.inference.sinks import SINKS, SinkJob, SinkSettings
from lanecli.labelmaps import label_map
from lanecli.labels import LabelClass, LabelMap
from lanecli.media import Frame, read_mask, read_picture

PICTURE_SINKS = ("overlay", "masks", "probabilities")


def prediction(frame: Frame) -> Prediction:
    class_map = np.zeros(frame.size[::-1], np.uint8)
    class_map[4:12, 6:20] = 1
    planes = np.where(class_map, 0.75, 0.125).astype(np.float32)[None]
    return Prediction(frame, label_map("lane"), class_map, planes=planes)


@pytest.mark.parametrize("order", list(itertools.permutations(PICTURE_SINKS)))
def test_sinks_of_one_picture_do_not_see_each_others_drawing(order: tuple[str, ...], tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    frame = Frame.from_rgb(picture.copy())
    for kind in order:
        job = SinkJob(
            tmp_path / f"{kind}.{'npz' if kind == 'probabilities' else 'png'}", label_map("lane"), SinkSettings()
        )
        sink = SINKS.get(kind)(job)
        sink.write(prediction(frame))
        sink.close()
    assert np.array_equal(frame.rgb(), picture)
    drawn = read_picture(tmp_path / "overlay.png")
    assert np.array_equal(drawn[:, 22:], picture[:, 22:])
    assert not np.array_equal(drawn, picture)
    assert read_mask(tmp_path / "masks.png").sum() == 8 * 14
    with np.load(tmp_path / "probabilities.npz", allow_pickle=False) as saved:
        assert saved["probabilities"].dtype == np.float16
        assert saved["probabilities"].shape == (2, 16, 24)
        assert saved["probabilities"][:, 5, 7].tolist() == [0.25, 0.75]
        assert saved["classes"].tolist() == ["background", "lane marking"]


def test_none_of_the_classes_is_not_drawn(tmp_path: Path) -> None:
    """A map of several labels without background painted every pixel."""
    several = LabelMap(
        "s", (LabelClass("a", (255, 0, 0)), LabelClass("b", (0, 0, 255))), background=None, multilabel=True
    )
    class_map = np.full((16, 24), 255, np.uint8)
    class_map[:, 10:14] = 1
    frame = Frame.from_rgb(np.full((16, 24, 3), 90, np.uint8))
    sink = SINKS.get("overlay")(SinkJob(tmp_path / "o.png", several, SinkSettings()))
    sink.write(Prediction(frame, several, class_map, labels=np.zeros_like(class_map)))
    drawn = read_picture(tmp_path / "o.png")
    assert (drawn[:, :8] == 90).all()
    assert (drawn[:, 11:13] != 90).any(-1).all()
