"""A prepared dataset that takes no time to make: grey roads with one bright stripe."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lanecli.data.manifest import DatasetInfo, Sample, write_dataset
from lanecli.labelmaps import label_map
from lanecli.media import write_picture


def plain_roads(root: Path, *, train: int = 3, val: int = 3, size: tuple[int, int] = (96, 64), seed: int = 0) -> Path:
    """Write a dataset of classes `lane`, a group for each picture, and give its folder."""
    rng = np.random.default_rng(seed)
    samples = []
    for number in range(train + val):
        picture = rng.integers(60, 140, (size[1], size[0], 3), np.uint8)
        mask = np.zeros((size[1], size[0]), np.uint8)
        left = int(rng.integers(10, size[0] - 20))
        picture[20:, left : left + 8] += 100
        mask[20:, left : left + 8] = 1
        image, truth = root / "images" / f"{number}.png", root / "masks" / f"{number}.png"
        write_picture(image, picture)
        write_picture(truth, mask)
        samples.append(Sample(image, truth, "train" if number < train else "val", f"drive-{number}"))
    write_dataset(DatasetInfo(root, tuple(samples), label_map("lane")))
    return root
