"""Evaluation: a Predictor with metrics, that leaves its caller's as it was."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fakes import Fake, by_brightness, predictor
from samples import Outcome

from lanecli.data.manifest import DatasetInfo, Sample, read_dataset, write_dataset
from lanecli.geometry import Geometry
from lanecli.inference.evaluate import score
from lanecli.inference.prediction import Prediction
from lanecli.labelmaps import label_map
from lanecli.labels import LabelMap
from lanecli.media import Frame, read_picture, write_mask, write_picture
from lanecli.metrics import METRICS, Truth
from lanecli.report.evaluation import EvaluationReport

LANE: LabelMap = label_map("lane")
KINDS = [METRICS.get(name) for name in METRICS if not METRICS.entry(name).facts.get("optional")]


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


def test_what_is_left_of_each_picture(tmp_path: Path) -> None:
    """Of each picture the left half of what is white is found."""
    info = dataset(tmp_path / "set", (32, 16), groups=2)
    report = EvaluationReport()
    half = Fake(lambda p: by_brightness(np.where(np.arange(32)[:, None] < 16, p, 0)), LANE, size=(32, 16))
    scores = score(predictor([half], True), info, "val", KINDS, each=report.add)
    written = report.write(tmp_path / "out")
    assert sorted(path.name for path in written) == ["confusion.csv", "confusion.png", "pictures.csv", "pictures.jpg"]
    rows = list(csv.DictReader((tmp_path / "out" / "pictures.csv").open()))
    assert [(Path(row["image"]).name, row["group"]) for row in rows] == [
        (f"{number}.png", f"road{number % 2}") for number in range(4)
    ]
    for number, row in enumerate(rows):
        white = 16 * (8 + number)
        assert float(row["iou/lane marking"]) == pytest.approx(0.5)
        assert float(row["pixel_accuracy"]) == pytest.approx(1 - white / (32 * 16))
    table = [line.split(",") for line in (tmp_path / "out" / "confusion.csv").read_text().splitlines()]
    assert table[0][1:] == ["background", "lane marking"]
    found = 16 * sum(8 + number for number in range(4))
    assert [int(value) for value in table[2][1:]] == [found, found]
    assert [int(value) for value in table[1][1:]] == [4 * 32 * 16 - 2 * found, 0]
    assert scores["n_images"] == 4
    sheet = read_picture(tmp_path / "out" / "pictures.jpg")
    assert sheet.shape[1] >= 3 * 400


@pytest.mark.parametrize(
    ("count", "titles"), [(1, ["best"]), (2, ["best", "worst"]), (9, ["best", "typical", "worst"])]
)
def test_best_typical_and_worst_are_different_pictures(tmp_path: Path, count: int, titles: list[str]) -> None:
    report = EvaluationReport()
    for number in range(count):
        truth = np.ones((8, 16), np.uint8)
        answer = truth.copy()
        answer[:, : number + 1] = 0
        prediction = Prediction(Frame.from_rgb(np.zeros((8, 16, 3), np.uint8)), LANE, answer)
        report.add(prediction, Truth(truth, None, f"{number}.png", "road"), tmp_path / "mask.png")
    chosen = [(title, int(row.image.stem)) for title, row in report._chosen()]
    assert list(dict.fromkeys(title for title, _ in chosen)) == titles
    assert [number for _, number in chosen] == list(range(count))


def test_evaluate_writes_them_beside_the_scores(cli: Callable[..., Outcome], bright: Path, tmp_path: Path) -> None:
    dataset(tmp_path / "set", (32, 16))
    done = cli("evaluate", bright, "--data", tmp_path / "set", "--out", tmp_path / "e", "--json")
    assert done.code == 0, done.err
    files = {Path(path).name for path in done.json()["files"]}  # type: ignore[index]
    assert files == {path.name for path in (tmp_path / "e").iterdir()}
    assert files == {"evaluation.json", "pictures.csv", "pictures.jpg", "confusion.csv", "confusion.png"}
    document = done.json()
    assert {"backend", "precision", "device"} <= set(document["compute"])  # type: ignore[index]
    assert set(document["precision"]) == set(LANE.names)  # type: ignore[index]
