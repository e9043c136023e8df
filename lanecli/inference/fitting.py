"""Fits what a trained model needs to know what it does not know: statistics of its features, and a temperature."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from lanecli.data.manifest import DatasetInfo, Sample, read_dataset
from lanecli.errors import InputError
from lanecli.inference.evaluate import geometry_on
from lanecli.inference.measures import MEASURES, graph_maps
from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.media import read_mask, read_picture
from lanecli.metrics.calibration import Calibration
from lanecli.metrics.uncertainty_bins import BINS, histogram, lower_edges
from lanecli.metrics.uncertainty_ranking import quantile_bins
from lanecli.modelfile import ModelSpec, write_safetensors
from lanecli.models.build import Network, build_network, network_from_file
from lanecli.uncertainty.density import fit_gaussians
from lanecli.uncertainty.graph import CELL, Cells, LogDensity, Neco
from lanecli.uncertainty.maps import doubt, map_kind
from lanecli.uncertainty.neco import principal_space
from lanecli.uncertainty.statistics import FeatureStatistics
from lanecli.uncertainty.temperature import LogitSample

MACS = 96 * 1024
"""Most multiplications that whitening may take per 4-pixel cell, an eighth of DeepLabV3+'s time in OpenVINO."""
_RANGE_PICTURES = 64
Progress = Callable[[int, int], None]
_Samples = list[tuple[DatasetInfo, Sample]]


@dataclass(frozen=True)
class Fitted:
    """The result of a fit.

    Attributes:
        spec: specification of the model as it was written.
        notes: notes for the user, a line each.
        figures: figures for ``--json``.
    """

    spec: ModelSpec
    notes: tuple[str, ...]
    figures: dict[str, Any]


def fit_density(
    model: Path,
    roots: Path | Sequence[Path],
    out: Path,
    *,
    split: str = "train",
    components: int | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Fitted:
    """Add the density of features, and their principal space (NECO), to a model file.

    One pass over the split's pictures gives the statistics. A second pass over some of them gives the ranges of the
    maps: the certain end is the median over training pixels, the doubtful end twice as far away as the most doubtful
    hundredth.

    Args:
        model: a model file.
        roots: prepared datasets of the same classes: those the model was trained on.
        out: the .safetensors file to write; may be `model`.
        split: name of a split in their manifests.
        components: number of principal components that features are reduced to; None for the largest affordable number.
        progress: called with the number of finished pictures and their total.

    Raises:
        InputError: the classes differ, there are too few pixels, or `out` is not a .safetensors file.
    """
    network, spec = _open_model(model, out)
    samples = _samples_of(roots, spec, split)
    step = max(1, CELL // network.feature_stride)
    statistics = FeatureStatistics(spec.label_map, network.feature_channels)
    for number, (cells, mask) in enumerate(_cells(network, spec, samples, step)):
        statistics.update(cells, mask)
        progress(number + 1, len(samples))
    present = sum(group.count > 0 for group in statistics.groups)
    gaussians = fit_gaussians(statistics, components or affordable_components(network, present, step))
    space = principal_space(statistics.all())
    outputs: dict[str, dict[str, Any]] = {
        "log_density": {
            "groups": len(gaussians.names),
            "components": gaussians.means.shape[1],
            "step": step,
            "classes": list(gaussians.names),
            "pixels": [group.count for group in statistics.groups],
            "jitter": list(gaussians.jitters),
            "notes": list(gaussians.notes),
        },
        "neco": {"components": len(space.components), "step": step},
    }
    fitted = build_network(replace(spec, outputs={**spec.outputs, **outputs})).eval()
    fitted.load_state_dict({**fitted.state_dict(), **network.state_dict()})
    density, neco = fitted.extra["log_density"], fitted.extra["neco"]
    assert isinstance(density, LogDensity)
    assert isinstance(neco, Neco)
    density.fill(gaussians)
    neco.fill(space)
    some = samples[:: -(-len(samples) // _RANGE_PICTURES)]
    for name, ends in _ranges(fitted, spec, some, step).items():
        outputs[name]["range"] = list(ends)
    spec = replace(spec, outputs={**spec.outputs, **outputs})
    write_safetensors(out, fitted.state_dict(), spec)
    figures = {"pictures": len(samples), **outputs["log_density"], "neco_components": len(space.components)}
    return Fitted(spec, gaussians.notes, figures)


def dataset_features(model: Path, root: Path, split: str) -> Iterator[tuple[LabelMap, np.ndarray, np.ndarray]]:
    """Yield, for each picture of a split, the label map, features of cells (D, h, w), and the mask (H, W) below."""
    network, spec = network_from_file(model)
    step = max(1, CELL // network.feature_stride)
    for cells, mask in _cells(network, spec, _samples_of(root, spec, split), step):
        yield spec.label_map, cells, mask


def affordable_components(network: Network, groups: int, step: int) -> int | None:
    """Return how many principal components whitening for `groups` classes can afford; None for all channels.

    Args:
        network: the network whose features they are.
        groups: number of classes.
        step: features along a side of a cell.
    """
    channels = network.feature_channels
    allowed = MACS * (step * network.feature_stride / CELL) ** 2
    if groups * channels * channels <= allowed:
        return None
    fitting = [k for k in range(8, channels, 8) if channels * k + groups * k * k <= allowed]
    return max(fitting, default=min(8, channels))


def calibrate(
    model: Path,
    roots: Path | Sequence[Path],
    out: Path,
    *,
    split: str = "val",
    progress: Progress = lambda _done, _total: None,
) -> Fitted:
    """Find the temperature that calibrates a model's probabilities on held-out pictures, and write it to a model file.

    Args:
        model: a model file; a temperature it already has is replaced.
        roots: prepared datasets of the same classes that the model was not trained on.
        out: the .safetensors file to write; may be `model`.
        split: name of a split in their manifests.
        progress: called with the number of finished pictures and their total.

    Raises:
        InputError: the classes differ, no pixel is labelled, or `out` is not a .safetensors file.
    """
    network, spec = _open_model(model, out)
    samples = _samples_of(roots, spec, split)
    sample = LogitSample(spec.label_map)
    for number, (picture, mask) in enumerate(_pictures(spec, samples)):
        with torch.inference_mode():
            logits = network.logits(torch.from_numpy(picture[None]))[0].float().numpy() * spec.temperature
        sample.update(logits, mask)
        progress(number + 1, len(samples))
    temperature, before, after = sample.fit()
    written = replace(spec, temperature=temperature)
    write_safetensors(out, network.state_dict(), written)
    logits, truth = sample.pixels()
    figures = {
        "temperature": temperature,
        "temperature_before": spec.temperature,
        "nll_at_1": before,
        "nll": after,
        "ece_at_1": _calibration_error(logits, truth, 1.0),
        "ece": _calibration_error(logits, truth, temperature),
        "pixels": min(sample.seen, sample.capacity),
        "pixels_seen": sample.seen,
    }
    return Fitted(written, (), figures)


def set_temperature(model: Path, temperature: float, out: Path) -> float:
    """Write a model file with another temperature, and return the one it had.

    Args:
        model: a model file.
        temperature: the new temperature.
        out: the .safetensors file to write; may be `model`.

    Raises:
        InputError: the temperature is not a number above 0, or `out` is not a .safetensors file.
    """
    if not 0 < temperature < float("inf"):
        raise InputError(f"the temperature must be a number above 0, not {temperature}")
    network, spec = _open_model(model, out)
    write_safetensors(out, network.state_dict(), replace(spec, temperature=temperature))
    return spec.temperature


def _calibration_error(logits: np.ndarray, truth: np.ndarray, temperature: float) -> float:
    """Return the expected calibration error of softmax(logits / T), logits (C, n) and truth (n,)."""
    shares = np.exp((logits - logits.max(0)) / temperature)
    counts = Calibration()
    counts.update((shares / shares.sum(0))[:, None], logits.argmax(0).astype(np.uint8)[None], truth[None])
    return float(counts.scores()["ece"] or 0.0)


def with_maps(network: Network, spec: ModelSpec, names: str) -> tuple[Network, ModelSpec, tuple[str, ...]]:
    """Return a network that computes the maps of measures, for export.

    Args:
        network: the network as it was loaded.
        spec: its specification.
        names: names of measures, separated by commas, such as ``"density,entropy"``; ``"none"`` for none.

    Returns:
        The network and its specification, with the outputs added that need no fitting, and the names of the outputs.

    Raises:
        InputError: a measure is unknown, has no map in a graph, or was not fitted.
    """
    known, maps = graph_maps(), list[str]()
    for word in dict.fromkeys(part.strip() for part in names.split(",") if part.strip() not in ("", "none")):
        measure = MEASURES.canonical(word)
        if measure not in known:
            raise InputError(
                f"'{measure}' needs several passes and has no map in a graph: it needs torch or several "
                f"models; export takes {', '.join(known)}"
            )
        name = known[measure]
        if name not in spec.outputs and measure in ("density", "neco"):
            raise InputError(
                f"the model has no feature statistics for '{measure}': add them with 'lanecli uncertainty fit'"
            )
        maps.append(name)
    missing: dict[str, dict[str, Any]] = {name: {} for name in maps if name not in spec.outputs}
    if missing:
        spec = replace(spec, outputs={**spec.outputs, **missing})
        fuller = build_network(spec).eval()
        fuller.load_state_dict({**fuller.state_dict(), **network.state_dict()})
        network = fuller
    return network, spec, tuple(maps)


def _open_model(model: Path, out: Path) -> tuple[Network, ModelSpec]:
    if out.suffix.lower() != ".safetensors":
        raise InputError(f"{out}: only a .safetensors file can be written here; export the model again afterwards")
    return network_from_file(model)


def _samples_of(roots: Path | Sequence[Path], spec: ModelSpec, split: str) -> _Samples:
    """Return the samples of a split of one or several datasets, each with its dataset."""
    samples: _Samples = []
    for root in [roots] if isinstance(roots, Path) else roots:
        dataset = read_dataset(root)
        if not spec.label_map.same_classes(dataset.label_map):
            raise InputError(
                f"{root} has the classes {', '.join(dataset.label_map.names)}; "
                f"the model has {', '.join(spec.label_map.names)}"
            )
        samples += [(dataset, sample) for sample in dataset.of_split(split)]
    return samples


def _pictures(spec: ModelSpec, samples: _Samples) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pictures and masks as the network sees them."""
    for dataset, sample in samples:
        geometry = geometry_on(dataset, spec.geometry)
        picture, mask = read_picture(sample.image), read_mask(sample.mask)
        if picture.shape[:2] != mask.shape:
            raise InputError(
                f"{sample.mask}: the mask is {mask.shape[::-1]}, but its picture is {picture.shape[1::-1]}"
            )
        placement = geometry.place((picture.shape[1], picture.shape[0]))
        yield np.ascontiguousarray(placement.picture(picture)), placement.mask(mask)


def _cells(network: Network, spec: ModelSpec, samples: _Samples, step: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield features of whole cells (D, h, w), and the mask (H, W) they cover, with `IGNORE_ID` beyond the picture."""
    side = step * network.feature_stride
    shrink = Cells(network.feature_channels, step)
    for picture, mask in _pictures(spec, samples):
        with torch.inference_mode():
            features = network(torch.from_numpy(picture[None]), ("features",))["features"].float()
            rows, columns = (size // step * step for size in features.shape[2:])
            cells = shrink(features[..., :rows, :columns])[0].numpy()
        height, width = cells.shape[1] * side, cells.shape[2] * side
        covered = np.full((height, width), IGNORE_ID, np.uint8)
        part = mask[:height, :width]
        covered[: part.shape[0], : part.shape[1]] = part
        yield cells, covered


def _ranges(network: Network, spec: ModelSpec, samples: _Samples, step: int) -> dict[str, tuple[float, float]]:
    """Return the certain and the doubtful end of each fitted map, from training pictures."""
    counts = {name: np.zeros(BINS, np.int64) for name in ("log_density", "neco")}
    for cells, _ in _cells(network, spec, samples, step):
        for name, total in counts.items():
            with torch.inference_mode():
                fitted = cast(Any, network.extra[name]).of_cells(torch.from_numpy(cells[None]))
                values = doubt(name, fitted.numpy().ravel())
            total += histogram(values, np.zeros(values.size, np.int32), 1)[0]
    edges = lower_edges()
    ends = {}
    for name, total in counts.items():
        middle, high = edges[np.minimum(quantile_bins(total, np.array([0.5, 0.99])), BINS - 1)]
        sign = map_kind(name).sign
        ends[name] = (sign * float(middle), sign * float(2 * high - middle))
    return ends
