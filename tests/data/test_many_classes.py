"""More classes than an overlay can draw: sheets, samples and curves do without, and nothing else is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from samples import SMALL_RUN, Outcome

from lanecli.data.contact_sheet import PNG, write_contact_sheet
from lanecli.data.manifest import DatasetInfo, Sample, write_dataset
from lanecli.labels import LabelClass, LabelMap
from lanecli.media import write_mask, write_picture


def test_more_than_127_classes_are_prepared_and_trained(cli: Callable[..., Outcome], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    many = LabelMap("many", tuple(LabelClass(f"class {n}", (n, n // 2, 255 - n)) for n in range(140)))
    data, samples = tmp_path / "data", []
    for number in range(6):
        image, mask = data / "images" / f"{number}.png", data / "masks" / f"{number}.png"
        write_picture(image, rng.integers(0, 256, (32, 64, 3), np.uint8))
        write_mask(mask, rng.integers(0, 140, (32, 64)).astype(np.uint8))
        samples.append(Sample(image, mask, "val" if number > 3 else "train", str(number)))
    info = DatasetInfo(data, tuple(samples), many)
    write_dataset(info)
    write_contact_sheet(info)
    assert (data / PNG).stat().st_size > 0
    done = cli("train", *SMALL_RUN, "train.epochs=1", "--data", data, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert (tmp_path / "run" / "curves.png").is_file()
