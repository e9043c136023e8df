"""Scores a model on a prepared dataset, at the size its pictures have on disk: a Predictor and a list of metrics."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lanecli.data.lanes import read_lane_lines
from lanecli.data.manifest import DatasetInfo, read_dataset
from lanecli.errors import InputError
from lanecli.geometry import Geometry
from lanecli.inference.prediction import Prediction
from lanecli.inference.predictor import Clock, Predictor
from lanecli.inference.recipe import Recipe
from lanecli.media import Frame, read_mask, read_picture
from lanecli.metrics import METRICS, Metric, Truth
from lanecli.metrics.bootstrap import BOOTSTRAPS, QUANTILES, resamples

Each = Callable[[Prediction, Truth, Path], None]
DEFINITIONS = {
    "ms_per_image": "mean wall time from a decoded picture to its prediction at its own size, one picture at a time",
    "ms": "ms_per_image in three parts: before the network, in the network, and after it",
    "groups": "the scores of each record, sequence or drive on its own",
    "intervals": f"95 % of {BOOTSTRAPS} bootstrap resamples of whole groups (Efron 1979); null with a single group",
}
"""Definitions of the figures besides the metrics' own."""


def geometry_on(dataset: DatasetInfo, geometry: Geometry) -> Geometry:
    """Return the model's geometry for a dataset's pictures: what `prepare` has cropped is not cropped again."""
    if any(dataset.geometry.crop) and any(geometry.crop):
        if dataset.geometry.crop != geometry.crop:
            raise InputError(
                f"{dataset.root} was prepared with crop {dataset.geometry.crop}, the model has crop {geometry.crop}: "
                "prepare it with the model's crop, or without one"
            )
        return replace(geometry, crop=(0, 0, 0, 0))
    return geometry


def on_dataset(predictor: Predictor, dataset: DatasetInfo) -> Predictor:
    """Return a predictor for the pictures of `dataset`, which shares `predictor`'s models and does not change it."""
    fitted = copy.copy(predictor)
    fitted.members = [replace(m, geometry=geometry_on(dataset, m.geometry)) for m in predictor.members]
    fitted.clock = Clock()
    return fitted


def evaluate(
    recipe: Recipe,
    root: Path,
    split: str,
    *,
    metrics: Collection[str] = (),
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    each: Each | None = None,
) -> dict[str, Any]:
    """Score a model, or several models combined, on a split.

    Args:
        recipe: the models, and how they are run.
        root: a prepared dataset.
        split: name of a split in its manifest.
        metrics: names of :data:`METRICS` to compute besides those of every evaluation.
        progress: called with the number of finished pictures and their total.
        each: called with every picture's prediction, its truth, and the file of its mask.

    Returns:
        The keys of ``lanecli evaluate --json``; they are defined in `lanecli.metrics` and :data:`DEFINITIONS`.

    Raises:
        InputError: dataset and model have different classes, the split is empty, or a step does not fit the model.
    """
    dataset = read_dataset(root)
    kinds = [METRICS.get(name) for name in METRICS if name in metrics or not METRICS.entry(name).facts.get("optional")]
    predictor = recipe.open({need for kind in kinds for need in kind.needs})
    return score(predictor, dataset, split, kinds, progress, each)


def score(
    predictor: Predictor,
    dataset: DatasetInfo,
    split: str,
    kinds: Sequence[type[Metric]],
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    each: Each | None = None,
) -> dict[str, Any]:
    """Do what :func:`evaluate` does with a predictor that is already open, and leave it unchanged."""
    samples = dataset.of_split(split)
    predictor = on_dataset(predictor, dataset)
    label_map = predictor.label_map
    if not label_map.same_classes(dataset.label_map):
        raise InputError(
            f"{dataset.root} has the classes {', '.join(dataset.label_map.names)}; "
            f"the model has {', '.join(label_map.names)}"
        )
    lines = read_lane_lines(dataset.root) if any("lanes" in kind.needs for kind in kinds) else {}
    groups: dict[str, list[Metric]] = {}
    pooled: list[Metric] = [kind(label_map) for kind in kinds if kind.pooled]
    for number, sample in enumerate(samples):
        frame, mask = Frame.from_rgb(read_picture(sample.image)), read_mask(sample.mask)
        if frame.size != mask.shape[::-1]:
            raise InputError(f"{sample.mask}: the mask is {mask.shape[::-1]}, but its picture is {frame.size}")
        if number == 0:
            predictor.predict(frame)  # not timed: the first run includes set-up
            predictor.clock = Clock()
        prediction = predictor.predict(frame)
        if sample.group not in groups:
            groups[sample.group] = [kind(label_map) for kind in kinds if not kind.pooled]
        lanes = lines.get(sample.image.resolve()) if lines else None
        truth = Truth(mask, lanes, str(sample.image), sample.group)
        for metric in (*groups[sample.group], *pooled):
            metric.update(prediction, truth)
        if each is not None:
            each(prediction, truth, sample.mask)
        progress(number + 1, len(samples))
    return {
        **_scores(groups),
        **{name: value for metric in pooled for name, value in metric.scores().items()},
        **_milliseconds(predictor.clock, len(samples)),
        "n_images": len(samples),
        "compute": predictor.compute,
    }


def _milliseconds(clock: Clock, count: int) -> dict[str, Any]:
    parts = {name: 1000 * seconds / count for name, seconds in vars(clock).items()}
    return {"ms_per_image": sum(parts.values()), "ms": parts}


def _scores(groups: Mapping[str, Sequence[Metric]]) -> dict[str, Any]:
    """Return the scores of all groups together with bootstrap intervals, and of each group alone."""
    draws = resamples(len(groups))
    together: dict[str, Any] = {}
    intervals: dict[str, Any] = {}
    for metrics in zip(*groups.values(), strict=True):
        stacked = {name: np.stack([metric.counts[name] for metric in metrics]) for name in metrics[0].counts}
        total = metrics[0].with_counts({name: counts.sum(0) for name, counts in stacked.items()}).scores()
        together |= total
        if len(groups) > 1:
            again = [
                metrics[0].with_counts({n: np.tensordot(draw, c, 1) for n, c in stacked.items()}).scores()
                for draw in draws
            ]
            intervals |= {name: _interval(total[name], [scores[name] for scores in again]) for name in total}
    alone = {
        group: {name: value for metric in metrics for name, value in metric.scores().items()}
        for group, metrics in groups.items()
    }
    return {**together, "groups": alone, "intervals": intervals or None}


def _interval(value: Any, others: Sequence[Any]) -> Any:
    """Return the middle 95 % of `others`, which have the form of `value`: numbers, None, or mappings of these."""
    if isinstance(value, Mapping):
        return {name: _interval(value[name], [other.get(name) for other in others]) for name in value}
    numbers = [other for other in others if isinstance(other, int | float)]
    if not numbers or not isinstance(value, int | float):
        return None
    return [float(bound) for bound in np.quantile(numbers, QUANTILES)]
