"""TuSimple's score: against a point-by-point reference, and each of its rules with a case of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lane_reference import tusimple_picture

from lanecli.errors import InputError
from lanecli.metrics.tusimple import FormatError, count_picture, score_files, tolerance

ROWS = np.arange(240.0, 440.0, 10.0)  # twenty, so that 17 of them are 0.85
UPRIGHT = np.full(20, 600.0)
XS = st.lists(st.one_of(st.just(-2.0), st.integers(0, 1279).map(float), st.just(-100.5)), min_size=20, max_size=20)


@settings(deadline=None, max_examples=150)
@given(st.lists(XS, max_size=6), st.lists(XS, max_size=6), st.lists(st.integers(-30, 30), min_size=6, max_size=6))
def test_against_the_written_rule(truth: list[list[float]], others: list[list[float]], shift: list[int]) -> None:
    predicted = [[x + shift[i] if x >= 0 else x for x in lane] for i, lane in enumerate(truth)] + others
    predicted = predicted[: len(truth) + 2]
    expected = tusimple_picture(predicted, truth, ROWS.tolist(), 10)
    found = count_picture([np.array(p) for p in predicted], [np.array(t) for t in truth], ROWS, 10)
    assert found == pytest.approx(expected, rel=0, abs=1e-9)


def test_within_twenty_pixels_strictly() -> None:
    assert count_picture([UPRIGHT + 19.99], [UPRIGHT], ROWS)[0] == 1
    assert count_picture([UPRIGHT + 20], [UPRIGHT], ROWS) == (0, 1, 1)


def test_across_a_slanted_lane() -> None:
    slanted = 300 + (ROWS - 240)  # 45 degrees: 20 px across are 28.28 px along the row
    assert tolerance(slanted, ROWS) == pytest.approx(20 * 2**0.5)
    assert count_picture([slanted + 28], [slanted], ROWS)[0] == 1
    assert tolerance(np.full(20, -2.0), ROWS) == tolerance(np.r_[np.full(19, -2.0), 900], ROWS) == 20


def test_absent_against_absent_is_right_and_any_negative_is_absent() -> None:
    half = np.where(ROWS < 340, -2.0, 600.0)
    assert count_picture([np.where(half < 0, -7.5, half)], [half], ROWS) == (1, 0, 0)


def test_seventeen_of_twenty_are_found_sixteen_are_not() -> None:
    for wrong, missed in ((3, 0.0), (4, 1.0)):
        guess = np.where(np.arange(20) < wrong, 0.0, UPRIGHT)
        assert count_picture([guess], [UPRIGHT], ROWS) == (1 - wrong / 20, missed, missed)


def test_200_ms_pass_and_more_lose_the_picture() -> None:
    assert count_picture([UPRIGHT], [UPRIGHT], ROWS, 200) == (1, 0, 0)
    assert count_picture([UPRIGHT], [UPRIGHT], ROWS, 200.1) == (0, 0, 1)


def test_two_predictions_too_many_pass_and_three_lose_the_picture() -> None:
    assert count_picture([UPRIGHT] * 3, [UPRIGHT], ROWS) == pytest.approx((1, 2 / 3, 0))
    assert count_picture([UPRIGHT] * 4, [UPRIGHT], ROWS) == (0, 0, 1)


def test_one_prediction_may_serve_two_truths() -> None:
    assert count_picture([UPRIGHT], [UPRIGHT, UPRIGHT + 5], ROWS) == (1, -1, 0)


def test_with_five_truths_one_miss_is_forgiven_and_the_worst_left_out() -> None:
    lanes = [np.full(20, 100.0 + 200 * i) for i in range(5)]
    assert count_picture(lanes[:4], lanes, ROWS) == (1, 0, 0)
    assert count_picture(lanes[:3], lanes, ROWS) == (0.75, 0, 0.25)
    assert count_picture(lanes, lanes, ROWS) == (1, 0, 0)


def test_a_picture_without_truth_has_no_accuracy() -> None:
    assert count_picture([], [], ROWS) == (0, 0, 0)
    assert count_picture([UPRIGHT], [], ROWS) == (0, 1, 0)


def test_lanes_of_another_length_are_refused_whatever_the_run_time() -> None:
    with pytest.raises(FormatError):
        count_picture([UPRIGHT[:19]], [UPRIGHT], ROWS, 900)
    with pytest.raises(FormatError):
        count_picture([UPRIGHT], [UPRIGHT[:19]], ROWS)


def files(tmp_path: Path, truth: list[Any], prediction: list[Any]) -> tuple[Path, Path]:
    paths = tmp_path / "gt.json", tmp_path / "pred.json"
    for path, lines in zip(paths, (truth, prediction), strict=True):
        path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return paths


def picture(name: str = "a", **more: Any) -> dict[str, Any]:
    return {"raw_file": name, "lanes": [[600] * 20], "h_samples": ROWS.tolist(), "run_time": 10, **more}


def test_means_over_the_pictures_of_the_truth(tmp_path: Path) -> None:
    paths = files(tmp_path, [picture("a"), picture("b")], [picture("b", lanes=[]), picture("a")])
    found = score_files(*paths)
    assert (found["accuracy"], found["fp"], found["fn"]) == (0.5, 0.0, 0.5)
    assert found["per_image"]["b"] == {"accuracy": 0.0, "fp": 0.0, "fn": 1.0}


def test_a_picture_predicted_twice_counts_twice(tmp_path: Path) -> None:
    found = score_files(*files(tmp_path, [picture("a"), picture("b")], [picture("a"), picture("a")]))
    assert found["accuracy"] == 1.0
    assert "predicted twice" in found["warnings"][0]


@pytest.mark.parametrize(
    ("prediction", "sentence"),
    [
        ([], "We do not get the predictions of all the test tasks"),
        ([""], "Fail to load json file of the prediction."),
        (["\ufeff{}"], "Fail to load json file of the prediction."),
        (["{oops"], "Fail to load json file of the prediction."),
        ([[1]], "raw_file or lanes or run_time not in some predictions."),
        ([{"raw_file": "a", "lanes": []}], "raw_file or lanes or run_time not in some predictions."),
        ([picture("z")], "Some raw_file from your predictions do not exist in the test tasks."),
        ([picture(["a"])], "Some raw_file from your predictions do not exist in the test tasks."),
        ([picture(lanes=None)], "Format of lanes error."),
        ([picture(lanes=[[600] * 19])], "Format of lanes error."),
        ([picture(lanes=[["600"] * 20])], "Format of lanes error."),
        ([picture(run_time="10")], "Format of lanes error."),
        ([picture(run_time=None)], "Format of lanes error."),
    ],
)
def test_what_the_official_program_refuses(tmp_path: Path, prediction: list[Any], sentence: str) -> None:
    with pytest.raises(InputError) as error:
        score_files(*files(tmp_path, [picture()], prediction))
    assert sentence in str(error.value)
    assert "pred.json" in str(error.value)


@pytest.mark.parametrize("truth", [[""], [{"raw_file": "a"}], [picture(3)], [picture(lanes=[[600]])]])
def test_a_truth_that_is_none_is_refused(tmp_path: Path, truth: list[Any]) -> None:
    with pytest.raises(InputError):
        score_files(*files(tmp_path, truth, [picture()]))


def test_what_nobody_is_told_elsewhere_is_warned_of(tmp_path: Path) -> None:
    truth = [picture("a"), picture("b", lanes=[]), picture("c"), picture("d", lanes=[[600] * 20, [604] * 20])]
    answers = [picture("a", run_time=201), picture("b", lanes=[]), picture("c", lanes=[[600] * 20] * 4), picture("d")]
    warnings = "\n".join(score_files(*files(tmp_path, truth, answers))["warnings"])
    for words in ("200 ms", "without a true lane", "over two lanes more", "FP is negative"):
        assert words in warnings
