"""Fits an ensemble: models and held-out pictures in, an ensemble file out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from lanecli import atomic
from lanecli.data.fingerprint import share_seen
from lanecli.data.manifest import DatasetInfo, Sample, read_dataset
from lanecli.errors import InputError
from lanecli.inference.ensemble_weights import best_iou_weights, foreground_iou, likelihoods, most_likely_weights
from lanecli.inference.ensemble_weights import negative_log_likelihood as nll
from lanecli.inference.evaluate import on_dataset
from lanecli.inference.pixel_sample import PixelSample, answer_function, sample_pixels
from lanecli.inference.recipe import Recipe
from lanecli.labels import LabelMap
from lanecli.modelfile import read_spec
from lanecli.shipped import find_model, shipped_models

CRITERIA = ("nll", "iou")
Criterion = Literal["nll", "iou"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class FittedEnsemble:
    """The result of a fit.

    Attributes:
        file: the ensemble file.
        notes: notes for the user, a line each.
        figures: figures for ``--json``.
    """

    file: Path
    notes: tuple[str, ...]
    figures: dict[str, Any]


def fit_weights(
    models: Sequence[str],
    root: Path,
    out: Path,
    *,
    split: str = "val",
    criterion: str = "nll",
    seed: int = 0,
    device: str = "auto",
    progress: Progress = lambda _done, _total: None,
) -> FittedEnsemble:
    """Find the weights of a mean of probabilities on a sample of held-out pixels, and write the ensemble file.

    Args:
        models: model files, run folders or shipped names.
        root: a prepared dataset of the same classes that no model was trained on.
        out: the .yaml file to write.
        split: name of a split in the dataset's manifest.
        criterion: ``"nll"``, the least negative log-likelihood, or ``"iou"``, the highest foreground IoU.
        seed: seed of the draw of pixels.
        device: device the models run on.
        progress: called with the number of finished pictures and their total.

    Raises:
        InputError: there are fewer than two models, the classes differ, or a model was trained on some of the pictures.
    """
    if criterion not in CRITERIA:
        raise InputError(f"--criterion must be {' or '.join(CRITERIA)}, not '{criterion}'")
    dataset, samples, notes = held_out(models, root, split)
    sample, label_map = sample_answers(models, dataset, samples, seed=seed, device=device, progress=progress)
    likelihood = likelihoods(sample.values, sample.truth, label_map)
    weights = most_likely_weights(likelihood)
    if criterion == "iou":
        weights = best_iou_weights(sample.values, sample.truth, label_map, weights)
    equal = weights * 0 + 1 / len(weights)
    figures: dict[str, Any] = {
        "weights": [float(weight) for weight in weights],
        "criterion": criterion,
        "nll": nll(likelihood, weights),
        "nll_equal": nll(likelihood, equal),
        "nll_members": [float(nll(one[None], equal[:1] * 0 + 1)) for one in likelihood],
        "iou": foreground_iou(sample.values, weights, sample.truth, label_map),
        "iou_equal": foreground_iou(sample.values, equal, sample.truth, label_map),
        "pixels": len(sample.truth),
        "pictures": len(samples),
    }
    members = [
        {"model": member_path(model, out), "weight": round(float(weight), 6)}
        for model, weight in zip(models, weights, strict=True)
    ]
    write_ensemble(out, {"members": members, "combine": "weighted"})
    return FittedEnsemble(out, tuple(notes), figures)


def held_out(models: Sequence[str], root: Path, split: str) -> tuple[DatasetInfo, tuple[Sample, ...], list[str]]:
    """Return the dataset, the split's samples to fit on, and notes about models whose training pictures are unknown.

    Raises:
        InputError: there are fewer than two models, the classes differ, or a model's provenance shows that it was
            trained on some of the samples: the fit would then trust it for what it has memorised.
    """
    if len(models) < 2:
        raise InputError("an ensemble needs two models or more")
    dataset = read_dataset(root)
    samples = dataset.of_split(split)
    notes = []
    for model in models:
        spec = read_spec(find_model(model, prefer=".safetensors"))
        if sorted(spec.label_map.names) != sorted(dataset.label_map.names):
            raise InputError(
                f"{root} has the classes {', '.join(dataset.label_map.names)}; "
                f"{model} has {', '.join(spec.label_map.names)}"
            )
        trained_on = spec.provenance.get("trained_on")
        refuse_seen(model, trained_on, samples, f"{root} (split '{split}')")
        if trained_on is None:
            notes.append(
                f"{model} does not say which pictures it was trained on: make sure that these are not among them"
            )
    return dataset, samples, notes


def refuse_seen(model: str, trained_on: Any, samples: Sequence[Sample], where: str) -> None:
    """Raise InputError if a model was trained on some of `samples`."""
    if share := share_seen(trained_on, samples):
        raise InputError(
            f"{model} was trained on {100 * share:.3g} % of the pictures of {where}: fit an ensemble on pictures "
            "that no member has seen"
        )


def sample_answers(
    models: Sequence[str],
    dataset: DatasetInfo,
    samples: Sequence[Sample],
    *,
    seed: int,
    device: str,
    progress: Progress,
) -> tuple[PixelSample, LabelMap]:
    """Return each model's planes at a sample of pixels, (models, K, n), in the dataset's order of classes."""
    predictor = on_dataset(Recipe(tuple(models), combine="mean", device=device).open(), dataset)
    label_map = predictor.label_map
    if not label_map.same_classes(dataset.label_map):
        raise InputError(
            f"{dataset.root} has the classes {', '.join(dataset.label_map.names)}; {models[0]} has them in the order "
            f"{', '.join(label_map.names)}: give a model with the dataset's order first"
        )
    answer = answer_function(predictor, lambda planes: planes)
    planes = len(label_map.plane_classes)
    sample = sample_pixels(
        samples,
        lambda frame, indices, _number: answer(frame, indices),
        values=len(models) * planes,
        seed=seed,
        progress=progress,
    )
    return sample, label_map


def member_path(model: str, file: Path) -> str:
    """Return how an ensemble file names a model: relative to the file's folder if it lies below it, else absolute."""
    path = Path(model).expanduser()
    if model in shipped_models() and not path.exists():
        return model
    path, folder = path.resolve(), file.parent.resolve()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def write_ensemble(file: Path, tree: dict[str, Any]) -> None:
    """Write an ensemble file in one piece; `lanecli.inference.ensemble.read_ensemble` reads it."""
    atomic.write(file, yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))
