"""Figures of the official programs on files of our own: every count, every printed digit."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import DATA

from lanecli.errors import InputError
from lanecli.metrics import apolloscape, bdd100k, culane, llamas, llamas_pixels, openlane, tusimple
from lanecli.metrics.lane_iou import LaneCounts
from lanecli.metrics.llamas_labels import read_x_values
from lanecli.metrics.picture_list import read_lists

GOLDEN = DATA.parent / "reference" / "golden"
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the official programs' figures are not here")


@lru_cache
def expected(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / name / "expected.json").read_text())


def compare(found: Any, wanted: Any, where: str = "") -> None:
    """Equal in all that `wanted` holds; null stands for NaN."""
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            compare(found[key], value, f"{where}/{key}")
    elif isinstance(wanted, list):
        for index, (a, b) in enumerate(zip(found, wanted, strict=True)):
            compare(a, b, f"{where}/{index}")
    else:
        assert found == wanted, where


def test_tusimple_to_1e_9() -> None:
    compared = 0
    for name, wanted in expected("tusimple").items():
        folder = GOLDEN / "tusimple" / name
        truth = folder / "gt.json" if (folder / "gt.json").is_file() else GOLDEN / "tusimple" / "all" / "gt.json"
        if "error" in wanted:
            with pytest.raises(InputError) as error:
                tusimple.score_files(truth, folder / "pred.json")
            assert wanted["error"] in str(error.value)
            continue
        found = tusimple.score_files(truth, folder / "pred.json")
        for key in tusimple.DEFINITIONS:
            assert found[key] == pytest.approx(wanted[key], rel=0, abs=1e-9), name
        for picture, values in wanted.get("per_image", {}).items():
            assert found["per_image"][picture] == pytest.approx(values, rel=0, abs=1e-9)
            compared += 1
    assert compared == 183


SETTINGS = ["width30_iou0.5_1640x590"]
SLOW = ["width30_iou0.3_1640x590", "width30_iou0.75_1640x590", "width16_iou0.5_1640x590", "width31_iou0.5_1280x590"]


@pytest.mark.parametrize("setting", [*SETTINGS, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_culane(setting: str) -> None:
    """The lists whose figures hang on NaN and on the processor (degenerate, outside) too: as on x86-64."""
    width, iou, size = (word.lstrip("widthou") for word in setting.split("_"))
    columns, rows = size.split("x")
    settings = culane.Settings(int(width), float(iou), (int(columns), int(rows)))
    folder = GOLDEN / "culane"
    lists = read_lists([folder / "list"])
    wanted = dict(expected("culane")[setting])
    together = wanted.pop("total_of_the_nine")
    found = culane.score_lists(f"{folder}/gt", f"{folder}/pred", lists, settings, workers=1)
    assert found["lists"].keys() == wanted.keys()
    for name, values in wanted.items():
        printed = values.pop("printed", None)
        compare(found["lists"][name], values, name)
        if printed:
            assert list(found["lists"][name]["printed"].values()) == list(printed.values())
            values["printed"] = printed
    nine = [found["lists"][name] for name in wanted if name.startswith("test")]
    total = sum((LaneCounts(part["tp"], part["fp"], part["fn"]) for part in nine), LaneCounts())
    compare(total.scores(), together)
    warned = "\n".join(found["warnings"])
    for word in ("without a file on either side", "twice in a row", "under two points", "0/0", "without a truth file"):
        assert word in warned


def test_culane_picture_by_picture() -> None:
    """Every matched pair and every IoU to its last bit."""
    from lanecli.metrics.lane_iou import similarities
    from lanecli.metrics.lane_text import parse_lanes
    from lanecli.metrics.matching import slack_matching

    folder = GOLDEN / "culane"
    for line in (folder / "per_image.jsonl").read_text().splitlines():
        wanted = json.loads(line)
        sides = []
        for side in ("gt", "pred"):
            path = Path(f"{folder}/{side}{wanted['name'].rpartition('.')[0] or wanted['name']}.lines.txt")
            sides.append(parse_lanes(path.read_bytes())[0] if path.is_file() else [])
        if [len(lanes) for lanes in sides] != [wanted["gt"], wanted["pred"]]:
            assert not path.is_file()
            continue
        table = similarities(*sides, 30, (1640, 590))
        iou = np.array([[float(v) for v in row] for row in wanted["iou"]]).reshape(table.shape)
        np.testing.assert_array_equal(table, iou, wanted["name"])
        if table.size:
            partners = slack_matching(table.tolist())
            assert [j if j >= 0 and table[i, j] > 0.5 else -1 for i, j in enumerate(partners)] == wanted["match"]


@pytest.mark.parametrize("setting", ["iou0.3_with_category", "iou0.3_without_category", "iou0.5_with_category"])
def test_openlane(setting: str) -> None:
    folder = GOLDEN / "openlane2d"
    settings = openlane.Settings(iou=float(setting[3:6]), categories="with_" in setting)
    found = openlane.score_lists(
        f"{folder}/gt/", f"{folder}/pred/", read_lists([folder / "list.txt"]), settings, workers=1
    )
    wanted = dict(expected("openlane2d")[setting])
    assert found["printed"]["f1"] == wanted.pop("printed")
    compare(found, wanted)
    for line in (folder / "per_image.jsonl").read_text().splitlines():
        picture = json.loads(line)
        if (picture["iou"], picture["with_category"]) == (settings.iou, settings.categories):
            [(counts, _)] = openlane.count_files(f"{folder}/gt/", f"{folder}/pred/", settings, [picture["list"]])
            assert (counts.tp, counts.fp, counts.fn) == (picture["tp"], picture["fp"], picture["fn"]), picture["list"]


@pytest.mark.parametrize("width", [30, 15])
def test_llamas_lines(width: int) -> None:
    folder = GOLDEN / "llamas"
    found = llamas.score_lines(folder / "labels", folder / "pred_lines", width, workers=1)
    compare(found, expected("llamas")["lines"][f"discrete_width{width}"])
    if width == 30:
        compare(found["per_image"], expected("llamas")["lines"]["per_image_discrete_width30"])


def test_llamas_labels_row_by_row() -> None:
    folder = GOLDEN / "llamas"
    wanted = json.loads((folder / "official_x_values.json").read_text())
    found = {name: read_x_values(path) for name, path in llamas.label_files(folder / "labels").items()}
    assert found == wanted


def test_llamas_regression() -> None:
    folder = GOLDEN / "llamas"
    found = llamas.score_regression(folder / "labels", folder / "pred_regression.json")
    wanted = expected("llamas")["regression"]
    for key in ("mean", "l1", "l0", "r0", "r1"):
        assert found[key] == pytest.approx(wanted[key], rel=1e-14)
    for name, lines in wanted["per_image"].items():
        for key, value in lines.items():
            assert found["per_image"][name][key] == (value if value is None else pytest.approx(value, rel=1e-14))


def test_llamas_segmentation_of_several_classes() -> None:
    folder = GOLDEN / "llamas"
    found = llamas_pixels.score_segmentation(folder / "labels_seg", folder / "pred_seg")
    wanted = expected("llamas")["segmentation"]
    compare(found["multi"], wanted["multi"])
    compare(found["per_image_multi"], wanted["per_image_multi"])


@pytest.mark.parametrize("name", ["lane", "their_lane_test"])
def test_bdd100k_lanes(name: str) -> None:
    folder = GOLDEN / "bdd100k" / name
    compare(bdd100k.score_lanes(folder / "gt", folder / "pred", workers=1), expected("bdd100k")[name])


def test_bdd100k_drivable() -> None:
    folder = GOLDEN / "bdd100k" / "drivable"
    compare(bdd100k.score_drivable(folder / "gt", folder / "pred"), expected("bdd100k")["drivable"])
    assert [bdd100k.task_of(GOLDEN / "bdd100k" / task / "gt") for task in ("lane", "drivable")] == ["lane", "drivable"]


def test_apolloscape() -> None:
    for name, wanted in expected("apolloscape").items():
        folder = GOLDEN / "apolloscape" / name
        if name == "errors":
            for case in wanted:
                with pytest.raises(InputError):
                    apolloscape.score_folders(folder / case / "gt", folder / case / "pred")
            continue
        figures = {key: value for key, value in wanted.items() if not key.startswith("per_image")}
        compare(apolloscape.score_folders(folder / "gt", folder / "pred"), figures, name)
