"""Evaluation: a Predictor with metrics, that leaves its caller's as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import Fake, by_brightness, predictor

from lanecli.data.manifest import DatasetInfo, Sample, read_dataset, write_dataset
from lanecli.geometry import Geometry
from lanecli.inference.evaluate import score
from lanecli.labelmaps import label_map
from lanecli.labels import LabelMap
from lanecli.media import write_mask, write_picture
from lanecli.metrics import METRICS

LANE: LabelMap = label_map("lane")
KINDS = [METRICS.get(name) for name in METRICS if not METRICS.entry(name).facts.get("asked")]


def dataset(folder: Path, size: tuple[int, int], crop_top: int = 0, groups: int = 1) -> DatasetInfo:
    """Pictures whose lower half is white, which is what their masks say."""
    samples = []
    for number in range(4):
        picture = np.zeros((size[1], size[0], 3), np.uint8)
        picture[-size[1] // 2 - number :] = 255
        mask = (picture[..., 0] > 0).astype(np.uint8)
        image, target = folder / "images" / f"{number}.png", folder / "masks" / f"{number}.png"
        write_picture(image, picture)
        write_mask(target, mask)
        samples.append(Sample(image, target, "val", f"road{number % groups}"))
    info = DatasetInfo(folder, tuple(samples), LANE, Geometry(None, (0, crop_top, 0, 0)))
    write_dataset(info)
    return read_dataset(folder)


def test_one_datasets_geometry_does_not_stay_for_the_next(tmp_path: Path) -> None:
    """A dataset that was cropped when it was prepared, then one that was not, with one predictor."""
    cropped, whole = dataset(tmp_path / "c", (32, 16), crop_top=8), dataset(tmp_path / "w", (32, 24))
    asker = predictor([Fake(by_brightness, LANE, size=(32, 16), geometry=Geometry((32, 16), (0, 8, 0, 0)))], True)
    members = list(asker.members)
    alone = score(asker, whole, "val", KINDS)
    assert score(asker, cropped, "val", KINDS)["miou"] == pytest.approx(1)
    again = score(asker, whole, "val", KINDS)
    assert again["iou"] == alone["iou"]
    assert asker.members == members


def test_groups_intervals_and_milliseconds(tmp_path: Path) -> None:
    info = dataset(tmp_path, (32, 16), groups=2)
    half = Fake(lambda p: by_brightness(np.where(np.arange(32)[:, None] < 16, p, 0)), LANE, size=(32, 16))
    scores = score(predictor([half], True), info, "val", KINDS)
    assert set(scores["groups"]) == {"road0", "road1"}
    low, high = scores["intervals"]["iou"]["lane marking"]
    each = [group["iou"]["lane marking"] for group in scores["groups"].values()]
    assert (low, high) == pytest.approx((min(each), max(each)))  # of two groups: one twice, or both
    assert low <= scores["iou"]["lane marking"] <= high
    assert scores["ms_per_image"] == pytest.approx(sum(scores["ms"].values()))
    assert set(scores["ms"]) == {"preprocess", "network", "postprocess"}
    assert all(value > 0 for value in scores["ms"].values())
    assert scores["n_images"] == 4
    single = score(predictor([half], True), dataset(tmp_path / "one", (32, 16)), "val", KINDS)
    assert single["intervals"] is None
