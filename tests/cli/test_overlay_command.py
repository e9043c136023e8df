"""``lanecli overlay``: saved masks on their video or pictures again, without a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from samples import Outcome, loaded, run_line

from lanecli.media import VideoReader, read_picture, write_mask, write_picture

Cli = Callable[..., Outcome]


def frames_of(path: Path) -> list[np.ndarray]:
    with VideoReader(path) as reader:
        return [frame.rgb().copy() for frame in reader]


def test_a_video_comes_out_as_predict_drew_it(cli: Cli, bright: Path, stripe_video: Path, tmp_path: Path) -> None:
    asked = ("predict", stripe_video, "--model", bright, "--out", tmp_path / "o", "--save", "overlay,masks")
    assert cli(*asked).code == 0
    done = cli("overlay", stripe_video, "--masks", tmp_path / "o" / "stripe.masks", "--out", tmp_path / "again.mp4",
               "--json")  # fmt: skip
    assert done.code == 0, done.err
    assert done.json()["frames"] == 12
    for one, other in zip(
        frames_of(tmp_path / "o" / "stripe.overlay.mp4"), frames_of(tmp_path / "again.mp4"), strict=True
    ):
        assert np.array_equal(one, other)


def test_pictures_and_missing_masks(cli: Cli, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_picture(tmp_path / "in" / f"{name}.png", np.full((32, 64, 3), 80, np.uint8))
    mask = np.zeros((32, 64), np.uint8)
    mask[:, 20:30] = 1
    write_mask(tmp_path / "m" / "a.mask.png", mask)
    done = cli("overlay", tmp_path / "in" / "a.png", "--masks", tmp_path / "m", "--out", tmp_path / "a.png")
    assert done.code == 0, done.err
    drawn = read_picture(tmp_path / "a.png")
    assert (drawn[:, 22:28] != 80).any(-1).all()
    assert (drawn[:, 40:] == 80).all()
    done = cli("overlay", tmp_path / "in" / "b.png", "--masks", tmp_path / "m", "--out", tmp_path / "b.png")
    assert done.code == 2
    assert "b.mask.png" in done.err
    write_mask(tmp_path / "m" / "b.mask.png", mask[:16])
    done = cli("overlay", tmp_path / "in", "--masks", tmp_path / "m", "--out", tmp_path / "both")
    assert done.code == 2
    assert "64x16, but its frame is 64x32" in done.err


def test_frames_without_a_mask_are_said(cli: Cli, stripe_video: Path, tmp_path: Path) -> None:
    write_mask(tmp_path / "m" / "000003.png", np.ones((64, 128), np.uint8))
    done = cli("overlay", stripe_video, "--masks", tmp_path / "m", "--out", tmp_path / "v.mp4")
    assert done.code == 0, done.err
    assert "11 of 12 frames have no mask" in done.err
    (tmp_path / "m" / "000003.png").unlink()
    done = cli("overlay", stripe_video, "--masks", tmp_path / "m", "--out", tmp_path / "w.mp4")
    assert done.code == 2
    assert not (tmp_path / "w.mp4").exists()


def test_no_model_is_loaded(stripe_video: Path, tmp_path: Path) -> None:
    write_mask(tmp_path / "m" / "000000.png", np.ones((64, 128), np.uint8))
    line = run_line("overlay", str(stripe_video), "--masks", str(tmp_path / "m"), "--out", str(tmp_path / "v.mp4"))
    assert loaded(line, ("torch", "openvino", "onnxruntime")) == set()
