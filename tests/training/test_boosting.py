"""Drawing the pictures more often that another model gets wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from samples import SMALL_RUN

from lanecli.config import load_config
from lanecli.data.manifest import DatasetInfo, Sample, write_dataset
from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.labelmaps import label_map
from lanecli.media.pictures import write_mask, write_picture
from lanecli.modelfile import ModelSpec, write_safetensors
from lanecli.models.build import Network, build_network
from lanecli.training import loop
from lanecli.training.boosting import error_weights
from lanecli.training.processes import Processes
from lanecli.training.stage import build_stages

SIZE = (64, 32)


def model(path: Path, classes: str = "lane") -> Network:
    """A network of random weights, which finds every class somewhere, and its file."""
    torch.manual_seed(2)
    spec = ModelSpec("unet", {"encoder": "tu-mobilenetv3_small_050"}, label_map(classes), Geometry(SIZE))
    network = build_network(spec).eval()
    with torch.no_grad():  # as many pixels of one class as of the next
        logits = network.logits(noise(4))
        network.architecture.model.segmentation_head[0].bias -= logits.mean((0, 2, 3))
    write_safetensors(path, network.state_dict(), spec)
    return network


def noise(count: int) -> torch.Tensor:
    """(count, 32, 64, 3) uint8 of blotches."""
    levels = np.random.default_rng(1).integers(0, 256, (count, 4, 8, 3), np.uint8)
    return torch.from_numpy(levels.repeat(8, 1).repeat(8, 2))


def answers(network: Network, pictures: torch.Tensor) -> np.ndarray:
    """(N, h, w) train ids."""
    with torch.no_grad():
        return network.logits(pictures).numpy().argmax(1).astype(np.uint8)


def weights_of(path: Path, masks: list[np.ndarray], classes: str = "lane") -> np.ndarray:
    """What is found for blotches with these masks."""
    batch = [noise(len(masks)), torch.from_numpy(np.stack(masks))]
    items: Any = range(len(masks))
    return error_weights(str(path), items, label_map(classes), torch.device("cpu"), lambda _: iter([batch]))


def test_a_picture_weighs_what_its_foreground_misses(tmp_path: Path) -> None:
    found = answers(model(tmp_path / "m.safetensors"), noise(5))
    assert all(0.1 < mask.mean() < 0.9 for mask in found)
    half = found[2].copy()
    half[:, ::2] = 0  # misses what the model finds in every second column
    hidden = found[3].copy()
    hidden[:8] = 1 - hidden[:8]
    hidden[:8][:, 4:] = 255  # all but the wrong part of these rows counts nowhere
    hidden[:8, :4] = found[3][:8, :4]
    masks = [found[0], 1 - found[1], half, hidden, np.full_like(found[4], 255)]
    overlap = (half & found[2]).sum() / (half | found[2]).sum()
    errors = np.array([0, 1, 1 - overlap, 0, 0])
    expected = (0.1 + errors) / (0.1 + errors).sum()
    np.testing.assert_allclose(weights_of(tmp_path / "m.safetensors", masks), expected, rtol=1e-9)


def test_several_classes_are_right_only_as_themselves(tmp_path: Path) -> None:
    """Of 2 and 1 in each other's place nothing is right; background in its place does not count."""
    found = answers(model(tmp_path / "m.safetensors", "comma10k"), noise(2))
    background = label_map("comma10k").background
    swapped = np.array([0, 2, 1, *range(3, 256)], np.uint8)[found[1]]
    ids = [i for i in range(6) if i != background]
    union = sum(((found[1] == i) | (swapped == i)).sum() for i in ids)
    right = sum(((found[1] == i) & (swapped == i)).sum() for i in ids)
    assert right < union
    errors = np.array([0, 1 - right / union])
    weights = weights_of(tmp_path / "m.safetensors", [found[0], swapped], "comma10k")
    np.testing.assert_allclose(weights, (0.1 + errors) / (0.1 + errors).sum(), rtol=1e-9)


def test_nothing_to_find_and_nothing_found_is_no_error(tmp_path: Path) -> None:
    network = model(tmp_path / "m.safetensors")
    found = answers(network, noise(2))
    empty = np.where(found[0] == 1, 255, 0).astype(np.uint8)  # what the model finds is ignored
    weights = weights_of(tmp_path / "m.safetensors", [empty, 1 - found[1]])
    np.testing.assert_allclose(weights, [0.1 / 1.2, 1.1 / 1.2])


@pytest.mark.parametrize("key", ["train.weigh_errors_of", "teacher"])
def test_a_model_of_other_classes_is_refused_before_anything_is_done(tmp_path: Path, key: str) -> None:
    model(tmp_path / "m.safetensors", "tusimple-binary")
    with pytest.raises(InputError, match="has the classes background, lane, not those trained here"):
        build_stages(load_config(None, [f"{key}={tmp_path / 'm.safetensors'}"]).each_stage, Processes())
    with pytest.raises(InputError, match="nowhere"):
        build_stages(load_config(None, [f"{key}=nowhere.safetensors"]).each_stage, Processes())


@pytest.fixture
def learnt(tmp_path: Path) -> Path:
    """A dataset of six pictures: a model's own answers, but for number 4, where it is wrong everywhere."""
    pictures = noise(6)
    masks = answers(model(tmp_path / "m.safetensors"), pictures)
    masks[4] = 1 - masks[4]
    samples = []
    for number, (picture, mask) in enumerate(zip(pictures.numpy(), masks, strict=True)):
        image, target = tmp_path / f"data/images/{number}.png", tmp_path / f"data/masks/{number}.png"
        for path in (image, target):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(image, picture)
        write_mask(target, mask)
        samples.append(Sample(image, target, "train", str(number)))
    counts = {"train": {"background": int((masks == 0).sum()), "lane marking": int((masks == 1).sum())}}
    write_dataset(DatasetInfo(tmp_path / "data", tuple(samples), label_map("lane"), pixel_counts=counts))
    return tmp_path


def test_a_run_draws_its_mistakes_more_often(learnt: Path) -> None:
    """Weights are 0.1 for five pictures and 1.1 for one: it is 11 of 16 draws."""
    config = load_config(
        None,
        [*SMALL_RUN, "model.encoder=tu-mobilenetv3_small_050", f"data.root={learnt / 'data'}", "data.samples=1600",
         f"train.weigh_errors_of={learnt / 'm.safetensors'}"],
    )  # fmt: skip
    (learnt / "run").mkdir()
    run = loop.Run(config, learnt / "run")
    run.enter(run.stages[0])
    drawn = np.bincount(run.stage.training.draws(0)[:, 1], minlength=6)
    assert drawn.sum() == 1600
    assert drawn[4] == pytest.approx(1100, abs=75)  # four deviations of a binomial
    assert all(60 < count < 145 for count in np.delete(drawn, 4))
