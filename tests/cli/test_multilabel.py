"""Several labels at one pixel, from dataset to masks: trained with sigmoid losses, scored label by label."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from samples import Outcome

from lanecli.data.manifest import DatasetInfo, Sample, write_dataset
from lanecli.labels import LabelClass, LabelMap
from lanecli.media import read_mask, write_mask, write_picture

LABELS = LabelMap(
    "red-and-bright",
    (LabelClass("red", (255, 0, 0)), LabelClass("bright", (255, 255, 255))),
    background=None,
    multilabel=True,
)


def make_dataset(folder: Path) -> Path:
    """Pictures of blocks that are red, bright, both or neither; masks hold bit 0 and bit 1 for them."""
    rng = np.random.default_rng(0)
    colours = np.array([[10, 40, 40], [150, 20, 20], [200, 220, 220], [255, 130, 130]], np.uint8)
    samples = []
    for number in range(10):
        mask = np.kron(rng.integers(0, 4, (4, 8)), np.ones((8, 8), int)).astype(np.uint8)
        write_picture(folder / "images" / f"{number}.png", colours[mask])
        write_mask(folder / "masks" / f"{number}.png", mask)
        split = "val" if number > 7 else "train"
        image, target = folder / "images" / f"{number}.png", folder / "masks" / f"{number}.png"
        samples.append(Sample(image, target, split, str(number)))
    write_dataset(DatasetInfo(folder, tuple(samples), LABELS))
    return folder


def test_from_dataset_to_masks(cli: Callable[..., Outcome], tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "data")
    settings = [
        "model.name=unet",
        "model.encoder=resnet18",
        "model.args={encoder_depth: 3, decoder_channels: [16, 16, 16]}",
        "data.geometry.size=[64, 32]",
        "data.workers=0",
        "data.augment=null",
        "loss=bce+dice",
        "optim.lr=3e-3",
        "train.batch=4",
        "train.epochs=25",
        "train.precision=fp32",
    ]
    done = cli("train", *settings, "--data", data, "--out", tmp_path / "run", "--json")
    assert done.code == 0, done.err
    done = cli("evaluate", tmp_path / "run", "--data", data, "--precision", "fp32", "--json")
    assert done.code == 0, done.err
    scores = done.json()
    assert set(scores["iou"]) == {"red", "bright"}
    assert min(scores["iou"].values()) > 0.7
    assert scores["nll"] is None
    done = cli("predict", data / "images" / "9.png", "--model", tmp_path / "run", "--save", "masks,overlay",
               "--precision", "fp32", "--out", tmp_path / "o")  # fmt: skip
    assert done.code == 0, done.err
    made, truth = read_mask(tmp_path / "o" / "9.mask.png"), read_mask(data / "masks" / "9.png")
    assert set(np.unique(made)) <= {0, 1, 2, 3}
    assert (made == truth).mean() > 0.75
