"""One model out of several of one architecture: the mean of their weights (Wortsman et al. 2022, arXiv 2203.05482)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lanecli.data.dataset import EvaluationSet, PreparedSource
from lanecli.data.fingerprint import fingerprint, joined
from lanecli.data.manifest import read_dataset
from lanecli.errors import InputError
from lanecli.inference.evaluate import geometry_on
from lanecli.modelfile import ModelSpec, read_spec, read_weights, write_safetensors
from lanecli.models.build import build_network
from lanecli.shipped import find_model
from lanecli.training.batches import batches
from lanecli.training.device import pick_device
from lanecli.training.provenance import versions

_ALIKE = ("architecture", "arguments", "label_map", "normalisation", "geometry")


@dataclass(frozen=True)
class Soup:
    """What was written.

    Attributes:
        spec: of the model.
        notes: a line each.
        figures: for ``--json``.
    """

    spec: ModelSpec
    notes: tuple[str, ...]
    figures: dict[str, Any]


def make_soup(
    models: Sequence[str],
    root: Path,
    out: Path,
    *,
    split: str = "train",
    batch: int = 8,
    device: str = "auto",
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Soup:
    """Average the weights of models, take the statistics of batch normalisation anew, and write one model.

    Statistics of single models do not fit the mean of their weights: they are computed again, in one pass over the
    pictures, as the mean over batches of each batch's mean and variance.

    Args:
        models: model files, run folders or shipped names, of one architecture.
        root: a prepared dataset of the same classes, for the statistics.
        out: the .safetensors file to write.
        split: of its manifest.
        batch: pictures at once.
        device: as for training.
        progress: told how many pictures of how many are done.

    Raises:
        InputError: models differ in more than their weights, or the dataset has other classes.
    """
    if len(models) < 2:
        raise InputError("a soup is made of two models or more")
    if out.suffix.lower() != ".safetensors":
        raise InputError(f"{out}: a soup is written as .safetensors; export it afterwards")
    files = [find_model(model, prefer=".safetensors") for model in models]
    specs = [read_spec(file) for file in files]
    for model, spec in zip(models[1:], specs[1:], strict=True):
        _check_alike(models[0], specs[0], model, spec)
    dataset = read_dataset(root)
    if not dataset.label_map.same_classes(specs[0].label_map):
        raise InputError(
            f"{root} has classes {', '.join(dataset.label_map.names)}; "
            f"the models know {', '.join(specs[0].label_map.names)}"
        )
    samples = dataset.of_split(split)
    fitted = any(spec.outputs or spec.temperature != 1 for spec in specs)
    plain = replace(specs[0], temperature=1.0, outputs={}, unknown={})
    network = build_network(plain)
    network.load_state_dict(mean_weights(files, network.state_dict()))
    place = pick_device(device)
    network.to(place)
    items = EvaluationSet(PreparedSource(samples, dataset.label_map), geometry_on(dataset, plain.geometry))
    read = (pictures.to(place) for pictures, _ in batches(items, batch, 0))
    layers = renew_statistics(network, read, lambda done: progress(done, len(samples)))
    statistics = [fingerprint(samples)] if layers else []
    seen = joined([*(spec.provenance.get("trained_on") for spec in specs), *statistics])
    provenance = {
        "soup": {"models": [Path(model).name for model in models], "pictures": len(samples), "split": split},
        "trained_on": seen,
        "versions": versions(),
    }
    spec = replace(plain, provenance=provenance)
    write_safetensors(out, network.state_dict(), spec)
    lost = ("temperature and fitted statistics of the models are not the soup's: fit them again",) if fitted else ()
    return Soup(spec, lost, {"models": len(models), "norm_layers": layers, "pictures": len(samples)})


def _check_alike(first: str, one: ModelSpec, second: str, other: ModelSpec) -> None:
    for name in _ALIKE:
        mine, theirs = getattr(one, name), getattr(other, name)
        if name == "label_map":
            mine, theirs = ", ".join(mine.names), ", ".join(theirs.names)
        if mine != theirs:
            what = "classes" if name == "label_map" else name
            raise InputError(
                f"a soup is made of models that differ in their weights alone: {what} of {first} is {mine}, "
                f"of {second} {theirs}"
            )


def mean_weights(files: Sequence[Path], wanted: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The mean of model files' tensors, summed in float64, one file in memory at a time; counters are the first's.

    Args:
        files: model files.
        wanted: names, shapes and types of a state that fits them.

    Raises:
        InputError: a tensor is missing or of another shape.
    """
    total: dict[str, torch.Tensor] = {}
    for file in files:
        state = read_weights(file)
        for name, tensor in wanted.items():
            if name not in state or state[name].shape != tensor.shape:
                raise InputError(f"{file}: weight '{name}' is missing, or of another shape than its header says")
            found = state[name]
            if not tensor.is_floating_point():
                total.setdefault(name, found)
            elif name in total:
                total[name] += found.double()
            else:
                total[name] = found.double()
    return {
        name: (total[name] / len(files) if tensor.is_floating_point() else total[name]).to(tensor.dtype)
        for name, tensor in wanted.items()
    }


@torch.no_grad()
def renew_statistics(network: nn.Module, read: Any, progress: Callable[[int], None] = lambda _done: None) -> int:
    """Compute the statistics of batch normalisation again, in place: the mean over batches. Dropout stays off.

    Args:
        network: is left in eval mode.
        read: batches of pictures as the network takes them.
        progress: told how many pictures are done.

    Returns:
        How many layers have statistics; where there are none, nothing is read.
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
