"""BDD100K's, ApolloScape's and plain mask scores, against counting pixel by pixel, rule by rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_dilation

from lanecli.errors import InputError
from lanecli.labelmaps import label_map
from lanecli.media import write_mask
from lanecli.metrics import apolloscape, bdd100k, masks
from lanecli.metrics.llamas_pixels import curve
from lanecli.metrics.segmentation import ConfusionMatrix

calm = settings(deadline=None, max_examples=40)
IDS = list(apolloscape.CLASSES.values())


def bdd_reference(predicted: np.ndarray, truth: np.ndarray) -> list[list[float]]:
    scores = []
    for shift, mask, count in ((5, 1, 2), (4, 1, 2), (0, 7, 8)):
        for value in range(count):
            own, true = (((m >> shift & mask) == value) & (m & 8 == 0) for m in (predicted, truth))
            row = []
            for radius in (1, 2, 5):
                y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
                disc = x * x + y * y <= radius * radius
                if not own.any() or not true.any():
                    row.append(float(own.any() == true.any()))
                    continue
                precision = (own & binary_dilation(true, disc)).sum() / own.sum()
                recall = (true & binary_dilation(own, disc)).sum() / true.sum()
                row.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
            scores.append(row)
    return scores


BYTES = st.sampled_from([255, 255, 255, 8, 0, 6, 7, 22, 38, 54, 4, 70, 134])


@calm
@given(st.data())
def test_bdd_lanes_against_the_written_rule(data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from([(1, 1), (3, 40), (20, 4), (17, 23)]))
    predicted, truth = (data.draw(arrays(np.uint8, shape, elements=BYTES, fill=st.just(255))) for _ in range(2))
    np.testing.assert_allclose(bdd100k.lane_f_scores(predicted, truth), bdd_reference(predicted, truth), rtol=1e-15)


def test_bdd_upper_bits_are_ignored_and_background_wins() -> None:
    marked, same = np.full((5, 5), 6, np.uint8), np.full((5, 5), 6 | 128 | 64, np.uint8)
    assert (bdd100k.lane_f_scores(same, marked) == 1).all()
    nothing = np.full((5, 5), 6 | 8, np.uint8)
    assert bdd100k.lane_f_scores(nothing, marked).min() == 0
    assert (bdd100k.lane_f_scores(nothing, np.full((5, 5), 255, np.uint8)) == 1).all()


def folders(tmp_path: Path, truth: dict[str, np.ndarray], prediction: dict[str, np.ndarray]) -> tuple[Path, Path]:
    for side, files in (("truth", truth), ("guess", prediction)):
        (tmp_path / side).mkdir(parents=True)
        for name, mask in files.items():
            write_mask(tmp_path / side / name, mask.astype(np.uint8))
    return tmp_path / "truth", tmp_path / "guess"


def test_bdd_missing_prediction_is_all_crosswalk_and_extra_ones_are_ignored(tmp_path: Path) -> None:
    road = np.full((6, 6), 255)
    road[2:4] = 0  # a solid, parallel crosswalk
    found = bdd100k.score_lanes(*folders(tmp_path, {"a.png": road}, {"b.png": road}))
    assert found["per_image"]["a.png"]["category"]["crosswalk"][2] == 1.0  # within five pixels of all there is
    assert found["per_image"]["a.png"]["direction"]["vertical"] == [1.0] * 3
    assert len([w for w in found["warnings"] if "without a" in w]) == 2


def test_bdd_drivable_counts_nothing_on_background(tmp_path: Path) -> None:
    truth = np.array([[0, 0, 1, 1, 2, 255]])
    guess = np.array([[0, 2, 0, 1, 1, 0]])
    found = bdd100k.score_drivable(*folders(tmp_path, {"a.png": truth}, {"a.png": guess}))
    assert found["IoU"][0] == {"direct": pytest.approx(100 / 3), "alternative": 50.0}
    assert found["Acc"][0] == {"direct": 50.0, "alternative": 100.0}
    assert found["summary"]["pAcc"] == 50.0
    assert found["summary"]["fIoU"] == pytest.approx((100 / 3 + 50) / 2)


def test_bdd_drivable_class_that_is_not_in_the_truth_is_left_out(tmp_path: Path) -> None:
    found = bdd100k.score_drivable(*folders(tmp_path, {"a.png": np.array([[0, 0]])}, {"a.png": np.array([[0, 1]])}))
    assert found["summary"]["mIoU"] == 50.0
    nothing = bdd100k.score_drivable(*folders(tmp_path / "2", {"a.png": np.array([[2]])}, {"a.png": np.array([[0]])}))
    assert nothing["summary"]["mIoU"] is None


def test_bdd_sizes_have_to_agree(tmp_path: Path) -> None:
    truth, guess = folders(tmp_path, {"a.png": np.zeros((3, 4))}, {"a.png": np.zeros((4, 3))})
    for score in (bdd100k.score_lanes, bdd100k.score_drivable):
        with pytest.raises(InputError, match="3x4, but its truth is 4x3"):
            score(truth, guess)


@calm
@given(
    arrays(np.uint8, (4, 6), elements=st.sampled_from([0, 200, 204, 206, 201, 255, 249])),
    arrays(np.uint8, (4, 6), elements=st.sampled_from([0, 200, 204, 206, 201, 255, 37])),
)
def test_apolloscape_against_counting(truth: np.ndarray, predicted: np.ndarray) -> None:
    table = np.zeros((256, 256), np.int64)
    np.add.at(table, (truth.ravel(), predicted.ravel()), 1)
    found = apolloscape.scores(table)
    pixels = list(zip(truth.ravel().tolist(), predicted.ravel().tolist(), strict=True))
    present = []
    for name, value in apolloscape.CLASSES.items():
        if value in apolloscape.UNSCORED:
            assert found["iou_class"][name] is None
            continue
        hits = sum(t == p == value for t, p in pixels)
        missed = sum(t == value != p for t, p in pixels)
        invented = sum(p == value != t and t not in apolloscape.UNSCORED for t, p in pixels)
        total = hits + missed + invented
        expected = hits / total if total else None
        assert found["iou_class"][name] == expected
        present += [expected] if total else []
    assert found["mean_iou_classes"] == (pytest.approx(sum(present) / len(present)) if present else None)


def test_apolloscape_tables_hold_all_38_ids_once() -> None:
    ids = [value for group in apolloscape.CATEGORIES.values() for value in group]
    assert sorted(ids) == sorted(IDS)
    assert len(set(IDS)) == 38
    assert set(apolloscape.UNSCORED) <= set(IDS)


def test_apolloscape_predictions_on_ignored_truth_cost_nothing() -> None:
    table = np.zeros((256, 256), np.int64)
    table[206, 200], table[200, 200] = 50, 10
    assert apolloscape.scores(table)["iou_class"]["s_w_d"] == 1.0
    table[0, 200] = 10
    assert apolloscape.scores(table)["iou_class"]["s_w_d"] == 0.5


def test_apolloscape_category_forgives_confusion_inside_it() -> None:
    table = np.zeros((256, 256), np.int64)
    table[200, 204] = 10
    found = apolloscape.scores(table)
    assert (found["iou_class"]["s_w_d"], found["iou_class"]["s_y_d"]) == (0.0, 0.0)
    assert found["iou_category"]["dividing"] == 1.0


def test_apolloscape_refuses_unknown_truth(tmp_path: Path) -> None:
    truth, guess = folders(tmp_path, {"a.png": np.array([[0, 37]])}, {"a.png": np.array([[0, 37]])})
    with pytest.raises(InputError, match="37 is not an ApolloScape id"):
        apolloscape.score_folders(truth, guess)


def test_masks_give_what_the_confusion_matrix_gives(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = {f"{i}.png": rng.choice([0, 255], (8, 9)) for i in range(3)}
    guess = {name: np.where(rng.random((8, 9)) < 0.8, mask, 255 - mask) for name, mask in truth.items()}
    binary = label_map("binary")
    counts = ConfusionMatrix(2)
    for name in truth:
        counts.update((guess[name] > 0).astype(np.uint8), (truth[name] > 0).astype(np.uint8))
    found = masks.score_folders(*folders(tmp_path, truth, guess), binary)
    assert {key: found[key] for key in counts.scores(binary)} == counts.scores(binary)
    assert found["n_images"] == 3


def test_masks_of_several_labels(tmp_path: Path) -> None:
    attributes = label_map("bdd100k-lane-attributes")
    truth, guess = np.array([[22, 6, 255]]), np.array([[6, 6, 255]])  # a dashed white line; not dashed
    found = masks.score_folders(*folders(tmp_path, {"a.png": truth}, {"a.png": guess}), attributes)
    assert found["iou"]["lane line"] == 1.0
    assert found["recall"]["dashed"] == 0.0


def test_masks_refuse_what_cannot_be_compared(tmp_path: Path) -> None:
    binary = label_map("binary")
    with pytest.raises(InputError, match="no PNG mask"):
        masks.score_folders(tmp_path, tmp_path, binary)
    truth, guess = folders(
        tmp_path, {"a.png": np.zeros((2, 2)), "b.png": np.zeros((2, 2))}, {"a.png": np.zeros((2, 2))}
    )
    with pytest.raises(InputError, match=r"b.png: is missing"):
        masks.score_folders(truth, guess, binary)
    write_mask(guess / "b.png", np.zeros((3, 2), np.uint8))
    with pytest.raises(InputError, match="is 2x3, but its truth is 2x2"):
        masks.score_folders(truth, guess, binary)


@calm
@given(arrays(np.uint8, (3, 5), elements=st.sampled_from([0, 1, 26, 51, 128, 200, 254, 255])), arrays(np.bool_, (3, 5)))
def test_llamas_curve_threshold_by_threshold(levels: np.ndarray, truth: np.ndarray) -> None:
    before, reached, area, best = 1.0, 0.0, 0.0, (0.0, 0.0, 0.0, 0.0)
    for step in range(101):
        threshold = (100 - step) / 100
        positive = levels / 255 >= threshold
        hits = int((positive & truth).sum())
        precision = hits / positive.sum() if positive.any() else 0.0
        recall = hits / truth.sum() if truth.any() else 0.0
        if precision * recall > best[0]:
            best = precision * recall, recall, precision, threshold
        area += (recall - reached) * before
        before, reached = precision, recall
    assert list(curve(levels, truth).values()) == pytest.approx([*best[1:], area])
