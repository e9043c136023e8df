"""What a model has to learn after training to know what it does not know: statistics of its features, a temperature."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from lanecli.data.manifest import DatasetInfo, Sample, read_dataset
from lanecli.errors import InputError
from lanecli.inference.evaluate import geometry_on
from lanecli.inference.measures import MEASURES
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

MACS = 2 * 256 * 256
"""Multiplications a 4-pixel cell that whitening may take: two classes of 256 channels. More is reduced first."""
_RANGE_PICTURES = 64
GRAPH_MAPS = {"density": "log_density", "entropy": "entropy", "energy": "energy", "neco": "neco"}
"""What each measure's map is called in an exported graph."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Fitted:
    """What was learnt, and what to tell the user.

    Attributes:
        spec: of the model as it was written.
        notes: a line each.
        figures: for ``--json``.
    """

    spec: ModelSpec
    notes: tuple[str, ...]
    figures: dict[str, Any]


def fit_density(
    model: Path,
    root: Path,
    out: Path,
    *,
    split: str = "train",
    components: int | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Fitted:
    """Add the density of features, and their principal space (NECO), to a model file.

    One pass over the split's pictures gives the statistics; a second over some of them the values that maps are drawn
    between: certain is the median of training pixels, doubtful twice as far from it as their most doubtful hundredth.

    Args:
        model: a model file.
        root: a prepared dataset of the same classes: what the model was trained on.
        out: the .safetensors file to write; may be `model`.
        split: of its manifest.
        components: principal components features are reduced to; None as many as whitening is affordable with.
        progress: told how many pictures of how many are done.

    Raises:
        InputError: classes differ, pixels are too few, or `out` is of another kind.
    """
    network, spec = _loaded(model, out)
    dataset = _matching(root, spec)
    samples = dataset.of_split(split)
    step = max(1, CELL // network.feature_stride)
    statistics = FeatureStatistics(spec.label_map, network.feature_channels)
    for number, (cells, mask) in enumerate(_cells(network, spec, dataset, samples, step)):
        statistics.update(cells, mask)
        progress(number + 1, len(samples))
    present = sum(group.count > 0 for group in statistics.groups)
    gaussians = fit_gaussians(statistics, components or affordable(network, present, step))
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
    for name, ends in _ranges(fitted, spec, dataset, some, step).items():
        outputs[name]["range"] = list(ends)
    spec = replace(spec, outputs={**spec.outputs, **outputs})
    write_safetensors(out, fitted.state_dict(), spec)
    figures = {"pictures": len(samples), **outputs["log_density"], "neco_components": len(space.components)}
    return Fitted(spec, gaussians.notes, figures)


def features_of(model: Path, root: Path, split: str) -> Iterator[tuple[LabelMap, np.ndarray, np.ndarray]]:
    """For each picture of a split the label map, features (D, h, w) of cells, and the mask (H, W) they cover."""
    network, spec = network_from_file(model)
    dataset = _matching(root, spec)
    step = max(1, CELL // network.feature_stride)
    for cells, mask in _cells(network, spec, dataset, dataset.of_split(split), step):
        yield spec.label_map, cells, mask


def affordable(network: Network, groups: int, step: int) -> int | None:
    """How many principal components whitening for `groups` classes can afford; None for all channels.

    Args:
        network: whose features they are.
        groups: classes.
        step: features a side of a cell.
    """
    channels = network.feature_channels
    allowed = MACS * (step * network.feature_stride / CELL) ** 2
    if groups * channels * channels <= allowed:
        return None
    fitting = [k for k in range(8, channels, 8) if channels * k + groups * k * k <= allowed]
    return max(fitting, default=min(8, channels))


def calibrate(
    model: Path, root: Path, out: Path, *, split: str = "val", progress: Progress = lambda _done, _total: None
) -> Fitted:
    """Find the one temperature that makes a model's probabilities honest on held-out pictures, and write it.

    Args:
        model: a model file; a temperature it has is replaced.
        root: a prepared dataset of the same classes that the model was not trained on.
        out: the .safetensors file to write; may be `model`.
        split: of its manifest.
        progress: told how many pictures of how many are done.

    Raises:
        InputError: classes differ, nothing is labelled, or `out` is of another kind.
    """
    network, spec = _loaded(model, out)
    dataset = _matching(root, spec)
    samples = dataset.of_split(split)
    sample = LogitSample(spec.label_map)
    for number, (picture, mask) in enumerate(_pictures(spec, dataset, samples)):
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


def _calibration_error(logits: np.ndarray, truth: np.ndarray, temperature: float) -> float:
    """Expected calibration error of softmax(logits / T), (C, n) against (n,)."""
    shares = np.exp((logits - logits.max(0)) / temperature)
    counts = Calibration()
    counts.update((shares / shares.sum(0))[:, None], logits.argmax(0).astype(np.uint8)[None], truth[None])
    return float(counts.scores()["ece"] or 0.0)


def with_maps(network: Network, spec: ModelSpec, names: str) -> tuple[Network, ModelSpec, tuple[str, ...]]:
    """A network that gives the maps of measures, for export.

    Args:
        network: as it was loaded.
        spec: of it.
        names: of measures, separated by commas, such as ``"density,entropy"``; ``"none"`` for none.

    Returns:
        The network and its specification, with outputs that need no fitting added, and the names of the outputs.

    Raises:
        InputError: a measure is unknown, has no map in a graph, or was not fitted.
    """
    maps: list[str] = []
    for word in dict.fromkeys(part.strip() for part in names.split(",") if part.strip() not in ("", "none")):
        measure = MEASURES.canonical(word)
        if measure not in GRAPH_MAPS:
            raise InputError(
                f"'{measure}' asks several times and has no map in one graph: it stays with torch and with several "
                f"models; export takes {', '.join(GRAPH_MAPS)}"
            )
        name = GRAPH_MAPS[measure]
        if name not in spec.outputs and measure in ("density", "neco"):
            raise InputError(
                f"the model holds no statistics of features for '{measure}': add them with 'lanecli uncertainty fit'"
            )
        maps.append(name)
    missing: dict[str, dict[str, Any]] = {name: {} for name in maps if name not in spec.outputs}
    if missing:
        spec = replace(spec, outputs={**spec.outputs, **missing})
        fuller = build_network(spec).eval()
        fuller.load_state_dict({**fuller.state_dict(), **network.state_dict()})
        network = fuller
    return network, spec, tuple(maps)


def _loaded(model: Path, out: Path) -> tuple[Network, ModelSpec]:
    if out.suffix.lower() != ".safetensors":
        raise InputError(f"{out}: a model file that can be fitted on ends in .safetensors; export it again afterwards")
    return network_from_file(model)


def _matching(root: Path, spec: ModelSpec) -> DatasetInfo:
    dataset = read_dataset(root)
    if not spec.label_map.same_classes(dataset.label_map):
        raise InputError(
            f"{root} has classes {', '.join(dataset.label_map.names)}; "
            f"the model knows {', '.join(spec.label_map.names)}"
        )
    return dataset


def _pictures(
    spec: ModelSpec, dataset: DatasetInfo, samples: tuple[Sample, ...]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pictures and masks as the network sees them."""
    geometry = geometry_on(dataset, spec.geometry)
    for sample in samples:
        picture, mask = read_picture(sample.image), read_mask(sample.mask)
        if picture.shape[:2] != mask.shape:
            raise InputError(f"{sample.mask}: the mask is {mask.shape[::-1]}, its picture {picture.shape[1::-1]}")
        placement = geometry.place((picture.shape[1], picture.shape[0]))
        yield np.ascontiguousarray(placement.picture(picture)), placement.mask(mask)


def _cells(
    network: Network, spec: ModelSpec, dataset: DatasetInfo, samples: tuple[Sample, ...], step: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Features (D, h, w) of whole cells, and the mask (H, W) they cover, filled with `IGNORE_ID` beyond the picture."""
    side = step * network.feature_stride
    shrink = Cells(network.feature_channels, step)
    for picture, mask in _pictures(spec, dataset, samples):
        with torch.inference_mode():
            features = network(torch.from_numpy(picture[None]), ("features",))["features"].float()
            rows, columns = (size // step * step for size in features.shape[2:])
            cells = shrink(features[..., :rows, :columns])[0].numpy()
        height, width = cells.shape[1] * side, cells.shape[2] * side
        covered = np.full((height, width), IGNORE_ID, np.uint8)
        part = mask[:height, :width]
        covered[: part.shape[0], : part.shape[1]] = part
        yield cells, covered


def _ranges(
    network: Network, spec: ModelSpec, dataset: DatasetInfo, samples: tuple[Sample, ...], step: int
) -> dict[str, tuple[float, float]]:
    """For each fitted map the value of certain and of doubtful pixels, from training pictures."""
    counts = {name: np.zeros(BINS, np.int64) for name in ("log_density", "neco")}
    for cells, _ in _cells(network, spec, dataset, samples, step):
        for name, total in counts.items():
            with torch.inference_mode():
                found = cast(Any, network.extra[name]).of_cells(torch.from_numpy(cells[None]))
                values = doubt(name, found.numpy().ravel())
            total += histogram(values, np.zeros(values.size, np.int32), 1)[0]
    edges = lower_edges()
    ends = {}
    for name, total in counts.items():
        middle, high = edges[np.minimum(quantile_bins(total, np.array([0.5, 0.99])), BINS - 1)]
        sign = map_kind(name).sign
        ends[name] = (sign * float(middle), sign * float(2 * high - middle))
    return ends
