"""``--crf``: pictures, video and evaluation get the refined classes; no torch; clear refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples import Outcome, brightness_model, loaded, run_line

from lanecli.data.manifest import DatasetInfo, Sample, write_dataset
from lanecli.errors import InputError
from lanecli.inference.backends import open_backend
from lanecli.inference.combiners.mean import Mean
from lanecli.inference.member import Member
from lanecli.inference.predictor import Predictor
from lanecli.inference.recipe import Recipe
from lanecli.inference.steps.crf import DenseCrf
from lanecli.labelmaps import label_map
from lanecli.media import Frame, VideoSettings, VideoWriter, read_mask, read_picture, write_mask, write_picture

Cli = Callable[..., Outcome]

TRUTH = np.zeros((64, 128), np.uint8)
TRUTH[:, 40:56] = 1


def unsure_picture(seed: int = 0) -> np.ndarray:
    """A red stripe on blue, both so near the brightness model's threshold that noise decides."""
    levels = np.where(TRUTH[..., None] == 1, (230, 100, 60), (60, 110, 180))
    noise = np.random.default_rng(seed).normal(0, 12, levels.shape)
    return np.clip(levels + noise, 0, 255).astype(np.uint8)


def iou(mask: np.ndarray) -> float:
    """Of the stripe."""
    return float((mask & TRUTH).sum() / (mask | TRUTH).sum())


def test_pictures_follow_the_colour(cli: Cli, bright: Path, tmp_path: Path) -> None:
    write_picture(tmp_path / "p.png", unsure_picture())
    for name, flags in (("without", []), ("with", ["--crf"])):
        done = cli("predict", tmp_path / "p.png", "--model", bright, "--out", tmp_path / name,
                   "--save", "masks,overlay", "--precision", "fp32", *flags)  # fmt: skip
        assert done.code == 0, done.err
        assert ("dense CRF" in done.out) == bool(flags)
    assert iou(read_mask(tmp_path / "without" / "p.mask.png")) < 0.8
    assert iou(read_mask(tmp_path / "with" / "p.mask.png")) > 0.9
    overlays = [(tmp_path / name / "p.overlay.png").read_bytes() for name in ("without", "with")]
    assert overlays[0] != overlays[1]


def test_video_frames_follow_the_colour(cli: Cli, bright: Path, tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4", VideoSettings((128, 64), 25, crf=5)) as writer:
        for number in range(3):
            writer.write(Frame.from_rgb(unsure_picture(number), number))
    for name, flags in (("without", []), ("with", ["--crf"])):
        done = cli("predict", tmp_path / "v.mp4", "--model", bright, "--out", tmp_path / name,
                   "--save", "masks", "--precision", "fp32", "--backend", "onnxruntime", *flags)  # fmt: skip
        assert done.code == 0, done.err
    for number in range(3):
        assert iou(read_mask(tmp_path / "without" / "v.masks" / f"{number:06d}.png")) < 0.8
        assert iou(read_mask(tmp_path / "with" / "v.masks" / f"{number:06d}.png")) > 0.9


def test_probabilities_are_the_refined_ones(bright: Path) -> None:
    frame = Frame.from_rgb(unsure_picture())
    prediction = Recipe((str(bright),), precision="fp32", steps={"crf": {}}).open({"planes"}).predict(frame)
    assert prediction.probabilities is not None
    np.testing.assert_array_equal(prediction.probabilities.argmax(0), prediction.class_map)
    np.testing.assert_allclose(prediction.probabilities.sum(0), 1, atol=1e-5)
    assert iou(prediction.class_map) > 0.9


def test_evaluation_scores_the_refined_classes(cli: Cli, bright: Path, tmp_path: Path) -> None:
    write_picture(tmp_path / "d" / "images" / "p.png", unsure_picture())
    write_mask(tmp_path / "d" / "masks" / "p.png", TRUTH)
    sample = Sample(tmp_path / "d" / "images" / "p.png", tmp_path / "d" / "masks" / "p.png", "val", "")
    write_dataset(DatasetInfo(tmp_path / "d", (sample,), label_map("lane")))
    scores = {}
    for flags in ((), ("--crf",)):
        done = cli("evaluate", bright, "--data", tmp_path / "d", "--precision", "fp32", "--json", *flags)
        assert done.code == 0, done.err
        assert done.json()["crf"] == bool(flags)
        scores[flags] = done.json()["iou"]["lane marking"]
    assert scores[()] < 0.8
    assert scores["--crf",] > 0.9


def test_several_labels_at_once_are_refused(tmp_path: Path) -> None:
    backend = open_backend(str(brightness_model(tmp_path / "m.onnx")), precision="fp32")
    several = replace(backend.spec.label_map, name="both", multilabel=True)
    backend.spec = replace(backend.spec, label_map=several)
    member = Member(backend, backend.spec.geometry, several)
    with pytest.raises(InputError, match="'both' is multi-label"):
        Predictor([member], Mean(), steps=[DenseCrf()])


def test_no_torch(bright: Path, stripe_picture: Path, tmp_path: Path) -> None:
    line = run_line("predict", str(stripe_picture), "--model", str(bright), "--out", str(tmp_path / "o"), "--crf")
    assert loaded(line, ("torch", "scipy", "onnx")) == set()
    assert (tmp_path / "o" / "stripe.overlay.png").is_file()


def test_overlays_and_lane_lines_are_clean_and_masks_where_it_is_asked_for(
    cli: Cli, bright: Path, tmp_path: Path
) -> None:
    picture = np.zeros((360, 640, 3), np.uint8)
    picture[200:, 300:312] = 255  # a line
    picture[10:20, 400:420] = 255  # a lamp in the sky
    write_picture(tmp_path / "p.png", picture)
    for flags, sky in (((), True), (("--clean",), False)):
        done = cli("predict", tmp_path / "p.png", "--model", bright, "--save", "overlay,masks,lanes,probabilities",
                   "--out", tmp_path / "o", "--precision", "fp32", "--overwrite", *flags)  # fmt: skip
        assert done.code == 0, done.err
        mask = read_mask(tmp_path / "o" / "p.mask.png")
        assert mask[250:, 300:312].mean() > 0.5
        assert mask[:100].any() == sky
        assert np.load(tmp_path / "o" / "p.probabilities.npz")["probabilities"][1, 10:20, 400:420].max() > 0.5
        drawn = np.any(read_picture(tmp_path / "o" / "p.overlay.png") != picture, axis=2)
        assert drawn[250:, 300:312].mean() > 0.5
        assert not drawn[:100, 200:].any()  # the legend stands at the left
        [entry] = (tmp_path / "o" / "p.lanes.jsonl").read_text().splitlines()
        assert all(y > 100 for lane in json.loads(entry)["lanes"] for _, y in lane["points"])
