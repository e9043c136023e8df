"""Fitting the meta-model of a stacked ensemble: a small network on the predictions for a pixel (Wolpert 1992)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from lanecli.data.manifest import Sample
from lanecli.errors import InputError
from lanecli.inference.ensemble_fit import FittedEnsemble, Progress, held_out, member_path, write_ensemble
from lanecli.inference.ensemble_weights import likelihoods
from lanecli.inference.ensemble_weights import negative_log_likelihood as nll
from lanecli.inference.evaluate import on_dataset
from lanecli.inference.meta import INPUTS, MetaModel, learner_inputs, learner_width, picture_inputs
from lanecli.inference.pixel_sample import PixelSample, answer_function, sample_pixels
from lanecli.inference.recipe import Recipe
from lanecli.labels import LabelMap
from lanecli.training.out_of_fold import OutOfFold

METHODS = ("stacking", "blending")
HIDDEN = 16
"""Size of the hidden layer: enough to trust one learner in some cases and another one in others."""
PIXELS = 1 << 17
_LARGEST_CONTEXT = 101
_HELD_OUT = 0.2
_ROUNDS, _PATIENCE = 60, 6
_DECAY = 1e-4
_LEAST_SPREAD = 1e-2


def fit_stack(
    models: Sequence[str],
    root: Path,
    out: Path,
    *,
    method: str,
    split: str = "val",
    inputs: Sequence[str] = ("probabilities",),
    context: int = 1,
    hidden: int = HIDDEN,
    seed: int = 0,
    device: str = "auto",
    progress: Progress = lambda _done, _total: None,
) -> FittedEnsemble:
    """Fit a meta-model, and write the ensemble file, with the file of the meta-model beside it.

    Args:
        models: the learners. For ``blending`` they are model files, run folders or names of shipped models; for
            ``stacking`` folders of ``lanecli train --folds N``, in which the member that has not seen a picture
            predicts it.
        root: the prepared dataset; for ``stacking`` the one that was divided into folds.
        out: the .yaml file to write.
        method: ``"stacking"`` or ``"blending"``.
        split: the split of the dataset to use, for ``blending``.
        inputs: names of `lanecli.inference.meta.INPUTS`.
        context: side in pixels of the square around a pixel whose mean is a further input; 1 for none.
        hidden: size of the hidden layer.
        seed: seed of the choice of pixels, of the part held out and of the initial weights.
        device: the device of the models.
        progress: called with the number of pictures that are done, and of all pictures.

    Raises:
        InputError: the models do not fit together or have seen the pictures, or an option is out of range.
    """
    inputs = _checked(inputs, context, hidden)
    notes: list[str] = []
    if method == "stacking":
        kept = OutOfFold(models, root)
        samples, label_map = kept.samples, kept.label_map
        answer = kept.asking(lambda planes: learner_inputs(planes, label_map, inputs, context))
        members = [{"model": member_path(model, out), "learner": learner} for model, learner in kept.members]
    else:
        dataset, samples, notes = held_out(models, root, split)
        predictor = on_dataset(Recipe(tuple(models), combine="mean", device=device).open(), dataset)
        label_map = predictor.label_map
        if not label_map.same_classes(dataset.label_map):
            raise InputError(f"{root} has its classes in another order than {models[0]}: name another model first")
        asked = answer_function(predictor, lambda planes: learner_inputs(planes, label_map, inputs, context))

        def answer(frame: Any, places: np.ndarray, _number: int) -> list[np.ndarray]:
            return asked(frame, places)

        members = [{"model": member_path(model, out), "learner": number} for number, model in enumerate(models)]
    repeats = 2 if context > 1 else 1
    width = learner_width(inputs, len(label_map.plane_classes))
    sample = sample_pixels(
        samples,
        answer,
        shown=(lambda rgb: picture_inputs(rgb, context)) if "picture" in inputs else None,
        values=repeats * (len(models) * width + 3 * ("picture" in inputs)),
        seed=seed,
        pixels=PIXELS,
        progress=progress,
    )
    meta, figures = fit_meta(
        sample, units_of(samples), label_map, inputs=inputs, context=context, hidden=hidden, seed=seed
    )
    file = out.with_suffix(".meta.safetensors")
    meta.write(file)
    write_ensemble(out, {"members": members, "combine": method, "meta": file.name})
    return FittedEnsemble(out, tuple(notes), {**figures, "meta": str(file), "pictures": len(samples)})


def _checked(inputs: Sequence[str], context: int, hidden: int) -> tuple[str, ...]:
    for name in inputs:
        if name not in INPUTS:
            raise InputError(f"--inputs are {', '.join(INPUTS)}; not '{name}'")
    if not set(inputs) - {"picture"}:
        raise InputError(
            "--inputs must include probabilities or entropy: the picture alone says nothing about the learners"
        )
    if not (1 <= context <= _LARGEST_CONTEXT and context % 2):
        raise InputError(
            f"--context must be an odd number of pixels up to {_LARGEST_CONTEXT}, or 1 for none; not {context}"
        )
    if not 1 <= hidden <= 256:
        raise InputError(f"--hidden must be a number from 1 to 256, not {hidden}")
    return tuple(name for name in INPUTS if name in inputs)


def units_of(samples: Sequence[Sample]) -> np.ndarray:
    """Number the units that stay together: groups, or single pictures if there are fewer than three groups."""
    groups = [sample.group for sample in samples]
    if len(set(groups)) < 3:
        return np.arange(len(samples))
    return np.unique(groups, return_inverse=True)[1]


def fit_meta(
    sample: PixelSample,
    units: np.ndarray,
    label_map: LabelMap,
    *,
    inputs: Sequence[str],
    context: int = 1,
    hidden: int = HIDDEN,
    seed: int = 0,
) -> tuple[MetaModel, dict[str, Any]]:
    """Fit W2 relu(W1 x + b1) + b2 by its negative log-likelihood. The same arguments give the same weights.

    A fifth of the units is held out, and L-BFGS (in float64, on all pixels at once) stops when their likelihood no
    longer improves.

    Args:
        sample: the values of `lanecli.inference.meta.learner_inputs` at pixels, and the truth.
        units: (pictures,) the number of the unit of each picture.
        label_map: the classes.
        inputs: the names of the values of `sample`.
        context: side in pixels of the square over which they are averaged.
        hidden: size of the hidden layer.
        seed: seed of the part held out and of the initial weights.

    Returns:
        The meta-model; and ``nll``, its negative log-likelihood on the part held out, in nats, with ``nll_mean``, that
        of the plain mean of the learners.

    Raises:
        InputError: all pixels belong to one unit.
    """
    own = units[sample.pictures]
    there = np.unique(own)
    if len(there) < 2:
        raise InputError("a meta-model needs two labelled pictures or more: one part is held out to stop the fit")
    drawn = np.random.default_rng(seed).permutation(there)[: max(1, round(_HELD_OUT * len(there)))]
    late = np.isin(own, drawn)
    x = torch.from_numpy(np.concatenate([*sample.values, sample.shown]).T.astype(np.float64))
    target = _targets(sample.truth, label_map)
    fitted, waiting = torch.from_numpy(~late), torch.from_numpy(late)
    middle, spread = x[fitted].mean(0), x[fitted].std(0, correction=0).clamp_min(_LEAST_SPREAD)
    x = (x - middle) / spread
    planes = len(label_map.plane_classes)
    weights = _descend(x[fitted], target[fitted], x[waiting], target[waiting], (hidden, planes), label_map, seed)
    first, bias, second, offset = (w.numpy() for w in weights)
    first = first / spread.numpy()
    meta = MetaModel(
        tuple(inputs),
        len(sample.values),
        planes,
        context,
        first.astype(np.float32),
        (bias - first @ middle.numpy()).astype(np.float32),
        second.astype(np.float32),
        offset.astype(np.float32),
        label_map.names,
    )
    figures: dict[str, Any] = {"nll": float(_loss(x[waiting], target[waiting], weights, label_map))}
    if "probabilities" in inputs:
        held = sample.only(late)
        given = likelihoods(held.values[:, :planes].mean(0, keepdims=True), held.truth, label_map)
        figures["nll_mean"] = nll(given, np.ones(1))
    figures |= {"pixels": len(own), "pixels_held_out": int(late.sum())}
    return meta, figures


def _targets(truth: np.ndarray, label_map: LabelMap) -> torch.Tensor:
    """Return (n,) int64 train ids, or (n, K) float64 of 0 and 1 with several labels per pixel."""
    if not label_map.bernoulli:
        return torch.from_numpy(truth.astype(np.int64))
    if not label_map.multilabel:
        return torch.from_numpy(truth[:, None].astype(np.float64))
    bits = truth[:, None] >> np.arange(len(label_map.classes), dtype=np.uint8) & 1
    return torch.from_numpy(bits.astype(np.float64))


def _loss(x: torch.Tensor, target: torch.Tensor, weights: Sequence[torch.Tensor], label_map: LabelMap) -> torch.Tensor:
    first, bias, second, offset = weights
    logits = F.linear(F.relu(F.linear(x, first, bias)), second, offset)
    if label_map.bernoulli:
        return F.binary_cross_entropy_with_logits(logits, target)
    return F.cross_entropy(logits, target)


def _descend(
    x: torch.Tensor,
    target: torch.Tensor,
    late_x: torch.Tensor,
    late_target: torch.Tensor,
    sizes: tuple[int, int],
    label_map: LabelMap,
    seed: int,
) -> list[torch.Tensor]:
    """Run L-BFGS, and return those of its weights that are best on the part held out."""
    hidden, planes = sizes
    generator = torch.Generator().manual_seed(seed)

    def drawn(rows: int, columns: int) -> torch.Tensor:
        return torch.randn(rows, columns, generator=generator, dtype=torch.float64) * (2 / columns) ** 0.5

    weights = [
        drawn(hidden, x.shape[1]),
        torch.zeros(hidden).double(),
        drawn(planes, hidden),
        torch.zeros(planes).double(),
    ]
    for weight in weights:
        weight.requires_grad_(True)
    steps = torch.optim.LBFGS(weights, max_iter=5, history_size=20, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        steps.zero_grad()
        decay = sum((weight**2).sum() for weight in (weights[0], weights[2]))
        total = _loss(x, target, weights, label_map) + _DECAY * decay
        total.backward()
        return total

    best, best_loss, since = [weight.detach().clone() for weight in weights], float("inf"), 0
    for _ in range(_ROUNDS):
        steps.step(closure)
        with torch.no_grad():
            late_loss = float(_loss(late_x, late_target, weights, label_map))
        if late_loss < best_loss - 1e-7:
            best, best_loss, since = [weight.detach().clone() for weight in weights], late_loss, 0
        elif (since := since + 1) >= _PATIENCE or not np.isfinite(late_loss):
            break
    return best
