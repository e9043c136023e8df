"""A model against a prepared dataset, at the size the dataset has on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lanecli.data.manifest import DatasetInfo, read_dataset
from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.inference.backends import Backend
from lanecli.inference.predictor import Predictor
from lanecli.media import Frame, read_mask, read_picture
from lanecli.metrics.calibration import Calibration
from lanecli.metrics.segmentation import ConfusionMatrix, LabelCounts


def geometry_on(dataset: DatasetInfo, geometry: Geometry) -> Geometry:
    """The model's geometry for a dataset's pictures: what was cropped when it was prepared is not cropped again."""
    if any(dataset.geometry.crop) and any(geometry.crop):
        if dataset.geometry.crop != geometry.crop:
            raise InputError(
                f"{dataset.root} was prepared with crop {dataset.geometry.crop}, the model wants {geometry.crop}: "
                "prepare it with the model's, or with none"
            )
        return replace(geometry, crop=(0, 0, 0, 0))
    return geometry


def evaluate(
    backends: Sequence[Backend],
    root: Path,
    split: str,
    *,
    crf: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, Any]:
    """Scores of one model, or of several averaged, over a split.

    Args:
        backends: the model or models.
        root: a prepared dataset.
        split: of its manifest.
        crf: refine probabilities with a dense CRF before they are scored.
        progress: told how many pictures of how many are done.

    Returns:
        The keys of ``lanecli evaluate --json``; definitions are in lanecli.metrics. ``ms_per_image`` is the mean wall
        time from the decoded picture to probabilities at its own size, refined ones with `crf`, one picture at a time.
        Calibration is None for models of several labels at once.

    Raises:
        InputError: dataset and model speak of different classes, the split is empty, or a CRF does not fit the model.
    """
    dataset = read_dataset(root)
    samples = dataset.of_split(split)
    for backend in backends:
        backend.spec = replace(backend.spec, geometry=geometry_on(dataset, backend.spec.geometry))
    predictor = Predictor(backends, keep_probabilities=True, crf=crf)
    label_map = predictor.label_map
    if not label_map.same_classes(dataset.label_map):
        raise InputError(
            f"{root} has classes {', '.join(dataset.label_map.names)}; the model knows {', '.join(label_map.names)}"
        )
    several = label_map.multilabel
    counts = (LabelCounts if several else ConfusionMatrix)(len(label_map.classes))
    calibration = Calibration()
    seconds = 0.0
    for number, sample in enumerate(samples):
        picture, target = read_picture(sample.image), read_mask(sample.mask)
        if picture.shape[:2] != target.shape:
            raise InputError(f"{sample.mask}: the mask is {target.shape[::-1]}, its picture {picture.shape[1::-1]}")
        if number == 0:
            predictor.predict(Frame.from_rgb(picture))  # the first run pays for set-up
        started = time.perf_counter()
        prediction = predictor.predict(Frame.from_rgb(picture))
        seconds += time.perf_counter() - started
        if prediction.labels is not None:
            counts.update(label_map.planes(prediction.labels)[None] == 1, label_map.planes(target)[None])
        else:
            counts.update(prediction.class_map, target)
        if prediction.probabilities is not None and not several:
            calibration.update(prediction.probabilities, prediction.class_map, target)
        progress(number + 1, len(samples))
    return {
        **counts.scores(label_map),
        **calibration.scores(),
        "ms_per_image": 1000 * seconds / len(samples),
        "n_images": len(samples),
    }
