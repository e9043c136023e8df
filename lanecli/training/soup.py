"""Model soups: one model with the mean weights of several models (Wortsman et al. 2022, arXiv 2203.05482)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import ConcatDataset, Subset

from lanecli.data.dataset import EvaluationSet, PreparedPictures
from lanecli.data.fingerprint import fingerprint, join_fingerprints
from lanecli.data.manifest import read_dataset
from lanecli.errors import InputError
from lanecli.inference.evaluate import geometry_on
from lanecli.modelfile import ModelSpec, read_spec, read_weights, write_safetensors
from lanecli.models.build import build_network
from lanecli.models.spectral import estimate_norms
from lanecli.shipped import find_model
from lanecli.training.batches import batches
from lanecli.training.device import pick_device
from lanecli.training.provenance import versions

_ALIKE = ("architecture", "arguments", "label_map", "normalisation", "geometry")


@dataclass(frozen=True)
class Soup:
    """A soup that was written.

    Attributes:
        spec: the specification of the model.
        notes: lines for the user.
        figures: the figures for ``--json``.
    """

    spec: ModelSpec
    notes: tuple[str, ...]
    figures: dict[str, Any]


def make_soup(
    models: Sequence[str],
    roots: Path | Sequence[Path],
    out: Path,
    *,
    renew: bool = True,
    split: str = "train",
    batch: int = 8,
    device: str = "auto",
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Soup:
    """Average the weights of models, compute the statistics of batch normalisation again, and write one model.

    The statistics of the single models do not fit the mean of their weights. They are computed again in one pass over
    the pictures, as the mean over batches of the mean and variance of each batch.

    Args:
        models: model files, run folders or names of shipped models, all of one architecture.
        roots: prepared datasets with the same classes, for the statistics. The pictures of several are mixed.
        out: the .safetensors file to write.
        renew: whether to compute the statistics again; otherwise they are the means of those of the models, which fits
            models that are close to one another, and no picture is read.
        split: the split of the datasets to use.
        batch: number of pictures per batch.
        device: as for training.
        progress: called with the number of pictures that are done, and of all pictures.

    Raises:
        InputError: the models differ in more than their weights, or a dataset has other classes.
    """
    if len(models) < 2:
        raise InputError("a soup needs two models or more")
    if out.suffix.lower() != ".safetensors":
        raise InputError(f"{out}: a soup is written as .safetensors; export it afterwards")
    files = [find_model(model, prefer=".safetensors") for model in models]
    specs = [read_spec(file) for file in files]
    for model, spec in zip(models[1:], specs[1:], strict=True):
        _check_alike(models[0], specs[0], model, spec)
    datasets = [read_dataset(root) for root in ([roots] if isinstance(roots, Path) else roots)]
    for dataset in datasets:
        if not dataset.label_map.same_classes(specs[0].label_map):
            raise InputError(
                f"{dataset.root} has classes {', '.join(dataset.label_map.names)}; "
                f"the models have {', '.join(specs[0].label_map.names)}"
            )
    samples = [sample for dataset in datasets for sample in dataset.of_split(split)]
    fitted = any(spec.outputs or spec.temperature != 1 for spec in specs)
    plain = replace(specs[0], temperature=1.0, outputs={}, unknown={})
    network = build_network(plain)
    network.load_state_dict(mean_weights(files, network.state_dict()))
    estimate_norms(network)  # the mean of singular vectors is none
    torch_device = pick_device(device)
    network.to(torch_device)
    items = _mixed(
        [
            EvaluationSet(PreparedPictures(each.of_split(split), each.label_map), geometry_on(each, plain.geometry))
            for each in datasets
        ]
    )
    read = (pictures.to(torch_device) for pictures, _ in batches(items, batch, 0))
    layers = renew_statistics(network, read, lambda done: progress(done, len(samples))) if renew else 0
    pictures = len(samples) if renew else 0
    statistics = [fingerprint(samples)] if layers else []
    seen = join_fingerprints([*(spec.provenance.get("trained_on") for spec in specs), *statistics])
    provenance = {
        "soup": {"models": [Path(model).name for model in models], "pictures": pictures, "split": split},
        "trained_on": seen,
        "versions": versions(),
    }
    spec = replace(plain, provenance=provenance)
    write_safetensors(out, network.state_dict(), spec)
    note = "the temperature and fitted statistics of the models do not hold for the soup: fit them again"
    lost = (note,) if fitted else ()
    return Soup(spec, lost, {"models": len(models), "norm_layers": layers, "pictures": pictures})


def _mixed(sets: Sequence[EvaluationSet]) -> EvaluationSet | Subset[Any]:
    """Return the pictures of all sets in a fixed random order, or those of a single set as they are."""
    if len(sets) == 1:
        return sets[0]
    every: ConcatDataset[Any] = ConcatDataset(sets)  # type: ignore[arg-type]
    return Subset(every, np.random.default_rng(0).permutation(len(every)).tolist())


def _check_alike(first: str, one: ModelSpec, second: str, other: ModelSpec) -> None:
    for name in _ALIKE:
        mine, theirs = getattr(one, name), getattr(other, name)
        if name == "label_map":
            mine, theirs = ", ".join(mine.names), ", ".join(theirs.names)
        if mine != theirs:
            what = "classes" if name == "label_map" else name
            raise InputError(
                f"the models of a soup may differ in their weights only: {what} of {first} is {mine}, "
                f"of {second} {theirs}"
            )


def mean_weights(files: Sequence[Path], wanted: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the mean of the tensors of model files. Counters are those of the first file.

    The sums are in float64, and one file is in memory at a time.

    Args:
        files: the model files.
        wanted: a state with the names, shapes and types of the tensors.

    Raises:
        InputError: a tensor is missing or has another shape.
    """
    total: dict[str, torch.Tensor] = {}
    for file in files:
        state = read_weights(file)
        for name, tensor in wanted.items():
            if name not in state or state[name].shape != tensor.shape:
                raise InputError(f"{file}: weight '{name}' is missing, or its shape does not fit the header")
            weight = state[name]
            if not tensor.is_floating_point():
                total.setdefault(name, weight)
            elif name in total:
                total[name] += weight.double()
            else:
                total[name] = weight.double()
    return {
        name: (total[name] / len(files) if tensor.is_floating_point() else total[name]).to(tensor.dtype)
        for name, tensor in wanted.items()
    }


@torch.no_grad()
def renew_statistics(network: nn.Module, read: Any, progress: Callable[[int], None] = lambda _done: None) -> int:
    """Compute the statistics of batch normalisation again, in place, as means over batches. Dropout stays off.

    Args:
        network: a network, which is put into eval mode at the end.
        read: yields batches of pictures as the network takes them.
        progress: called with the number of pictures that are done.

    Returns:
        The number of layers with statistics. If there are none, nothing is read.
    """
    network.eval()
    layers = [layer for layer in network.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    if not layers:
        return 0
    usual = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over all batches
        layer.train()
    done = 0
    for pictures in read:
        network(pictures)
        done += len(pictures)
        progress(done)
    for layer, momentum in zip(layers, usual, strict=True):
        layer.momentum = momentum
    network.eval()
    return len(layers)
