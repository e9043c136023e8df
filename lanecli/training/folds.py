"""Folds of a training set, and what is predicted on each by a model that has not seen it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from lanecli import atomic
from lanecli.data.dataset import EvaluationSet, PreparedSource
from lanecli.data.manifest import Sample
from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.models.build import network_from_file
from lanecli.training.batches import batches
from lanecli.training.device import pick_device

COLUMNS = ("image", "mask", "member", "probabilities")


def parse_fold(text: str) -> tuple[int, int]:
    """``"2/5"``, the second of five folds, to (1, 5). Raises ValueError for another form."""
    number, _, count = text.partition("/")
    fold, folds = int(number) - 1, int(count)
    if not 0 <= fold < folds or folds < 2:
        raise ValueError
    return fold, folds


def fold_of(samples: Sequence[Sample], folds: int) -> np.ndarray:
    """(samples,) number of the fold each sample is in: the same for the same samples.

    Groups (a record, a sequence) stay whole, the largest first into the smallest fold. Where there are fewer groups
    than folds, blocks of consecutive samples take their place.
    """
    if len(samples) < folds:
        raise InputError(f"{len(samples)} training pictures cannot be cut into {folds} folds")
    units = _units(samples, folds)
    sizes = Counter(units)
    filled = [0] * folds
    place = {}
    for unit in sorted(sizes, key=lambda unit: (-sizes[unit], unit)):
        place[unit] = filled.index(min(filled))
        filled[place[unit]] += sizes[unit]
    return np.array([place[unit] for unit in units])


def in_groups(samples: Sequence[Sample], folds: int) -> bool:
    """Whether folds are made of whole groups."""
    return len({sample.group for sample in samples}) >= folds


def _units(samples: Sequence[Sample], folds: int) -> list[str]:
    """What stays together: the group, or a block of consecutive samples."""
    if in_groups(samples, folds):
        return [sample.group for sample in samples]
    width = len(str(folds))
    return [f"{place * folds // len(samples):0{width}}" for place in range(len(samples))]


@torch.inference_mode()
def predict_fold(
    model: Path, samples: Sequence[Sample], geometry: Geometry, out: Path, *, device: str, batch: int
) -> None:
    """Write what a model says of samples, one ``.npz`` each: replaced as a whole or not at all.

    A file holds ``probabilities`` (C, h, w) float16 and ``mask`` (h, w) uint8 train ids, both at the network's size,
    and ``classes``, their names.

    Args:
        model: a model file.
        samples: that it was not trained on.
        geometry: what prepared pictures go through.
        out: a folder; one that is there is replaced.
        device: as for training.
        batch: pictures at once.
    """
    network, spec = network_from_file(model)
    place = pick_device(device)
    network.to(place)
    items = EvaluationSet(PreparedSource(samples, spec.label_map), geometry)
    names = np.array(spec.label_map.names)
    number = 0
    with atomic.folder(out) as fresh:
        for pictures, masks in batches(items, batch, 0):
            logits = network.logits(pictures.to(place)).float()
            found = logits.sigmoid() if spec.label_map.multilabel else logits.softmax(1)
            for probabilities, mask in zip(found.cpu().numpy().astype(np.float16), masks.numpy(), strict=True):
                np.savez_compressed(fresh / f"{number:06}.npz", probabilities=probabilities, mask=mask, classes=names)
                number += 1


def write_fold_manifest(folder: Path, held_out: Sequence[tuple[str, Sequence[Sample]]]) -> None:
    """Write ``manifest.csv`` beside the predictions: which member said what of which picture.

    Args:
        folder: that holds a folder of predictions for each member.
        held_out: name of each member, and the samples it was not trained on.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for member, samples in held_out:
        for number, sample in enumerate(samples):
            writer.writerow((sample.image, sample.mask, member, f"{member}/{number:06}.npz"))
    atomic.write(folder / "manifest.csv", text.getvalue())
