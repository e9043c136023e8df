"""Folds of a training set, and the predictions for each fold by a model that has not seen it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from lanecli import atomic
from lanecli.data.dataset import EvaluationSet, PreparedPictures
from lanecli.data.manifest import Sample
from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.models.build import network_from_file
from lanecli.training.batches import batches
from lanecli.training.device import pick_device

COLUMNS = ("image", "mask", "member", "probabilities")


def parse_fold(text: str) -> tuple[int, int]:
    """Parse the text of a fold; raises ValueError for another form.

    Example:
        >>> parse_fold("2/5")  # the second of five folds
        (1, 5)
    """
    number, _, count = text.partition("/")
    fold, folds = int(number) - 1, int(count)
    if not 0 <= fold < folds or folds < 2:
        raise ValueError
    return fold, folds


def fold_of(samples: Sequence[Sample], folds: int) -> np.ndarray:
    """Assign samples to folds; the same samples always get the same folds.

    Groups (a record, a sequence) are not divided: starting with the largest, each group goes to the smallest fold. If
    there are fewer groups than folds, blocks of consecutive samples are used instead of groups.

    Returns:
        (samples,) the number of the fold of each sample, from 0.

    Raises:
        InputError: there are fewer samples than folds.
    """
    if len(samples) < folds:
        raise InputError(f"{len(samples)} training pictures cannot be divided into {folds} folds")
    units = _units(samples, folds)
    sizes = Counter(units)
    filled = [0] * folds
    fold = {}
    for unit in sorted(sizes, key=lambda unit: (-sizes[unit], unit)):
        fold[unit] = filled.index(min(filled))
        filled[fold[unit]] += sizes[unit]
    return np.array([fold[unit] for unit in units])


def in_groups(samples: Sequence[Sample], folds: int) -> bool:
    """Whether there are enough groups for folds of whole groups."""
    return len({sample.group for sample in samples}) >= folds


def _units(samples: Sequence[Sample], folds: int) -> list[str]:
    """Name the unit of each sample that is not divided: its group, or a block of consecutive samples."""
    if in_groups(samples, folds):
        return [sample.group for sample in samples]
    width = len(str(folds))
    return [f"{index * folds // len(samples):0{width}}" for index in range(len(samples))]


@torch.inference_mode()
def predict_fold(
    model: Path, samples: Sequence[Sample], geometry: Geometry, out: Path, *, device: str, batch: int
) -> None:
    """Write the predictions of a model for samples, one ``.npz`` file each. The folder is always replaced as a whole.

    A file holds ``probabilities`` (C, h, w) float16 and ``mask`` (h, w) uint8 train ids, both at the network's size,
    and ``classes``, the names of the classes.

    Args:
        model: a model file.
        samples: samples that the model has not seen in training.
        geometry: the Geometry for prepared pictures.
        out: the folder to write; an existing one is replaced.
        device: as for training.
        batch: number of pictures per batch.
    """
    network, spec = network_from_file(model)
    target = pick_device(device)
    network.to(target)
    items = EvaluationSet(PreparedPictures(samples, spec.label_map), geometry)
    names = np.array(spec.label_map.names)
    number = 0
    with atomic.folder(out) as fresh:
        for pictures, masks in batches(items, batch, 0):
            logits = network.logits(pictures.to(target)).float()
            predicted = logits.sigmoid() if spec.label_map.multilabel else logits.softmax(1)
            for probabilities, mask in zip(predicted.cpu().numpy().astype(np.float16), masks.numpy(), strict=True):
                np.savez_compressed(fresh / f"{number:06}.npz", probabilities=probabilities, mask=mask, classes=names)
                number += 1


def write_fold_manifest(folder: Path, held_out: Sequence[tuple[str, Sequence[Sample]]]) -> None:
    """Write ``manifest.csv`` beside the predictions, which lists the member and the file for each picture.

    Args:
        folder: the folder that holds a folder of predictions for each member.
        held_out: the name of each member, and the samples that it has not seen in training.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for member, samples in held_out:
        for number, sample in enumerate(samples):
            writer.writerow((sample.image, sample.mask, member, f"{member}/{number:06}.npz"))
    atomic.write(folder / "manifest.csv", text.getvalue())
