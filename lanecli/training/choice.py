"""Settings that are chosen from the data: ``loss: auto``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lanecli.config import Config
from lanecli.data.manifest import read_dataset
from lanecli.labels import LabelMap

AUTO = "auto"
_FEW = [{"name": "jaccard"}]
_MANY = [{"name": "ce", "args": {"class_weights": "root_median_frequency"}}, {"name": "dice"}]


def choose(config: Config) -> tuple[Config, list[str]]:
    """Replace ``loss: auto`` in a configuration, and its stages, by a loss that suits the data.

    For two classes, or several labels per pixel, it is the soft Jaccard loss, which was the best one (docs/losses.md).
    Many classes include rare ones, which are not learned with equal weights of all classes, nor with none: there it is
    cross-entropy, weighted by the square root of inverse shares, plus Dice (docs/losses.md, "Many classes").

    Returns:
        The configuration, and lines that say what was chosen and why; no lines if nothing is ``auto``.

    Raises:
        InputError: a dataset cannot be read.
    """
    tree = config.model_dump(mode="json")
    parts = [part for part in (tree, *tree["stages"]) if _is_auto(part.get("loss"))]
    if not parts:
        return config, []
    label_map, counts = _classes(config)
    few = label_map.multilabel or len(label_map.classes) <= 2
    chosen = _FEW if few or not any(counts) else _MANY
    for part in parts:
        part["loss"] = chosen
    return Config.model_validate(tree), [_reason(label_map, counts, few)]


def _is_auto(loss: Any) -> bool:
    return loss == AUTO or (isinstance(loss, list) and [_name(term) for term in loss] == [AUTO])


def _name(term: Any) -> Any:
    return term.get("name") if isinstance(term, dict) else term


def _classes(config: Config) -> tuple[LabelMap, list[int]]:
    """Return the classes of the data, and the number of pixels of each one in the training pictures."""
    if not config.data.root:
        from lanecli.labelmaps import label_map

        return label_map("lane"), [0, 0]
    infos = [read_dataset(Path(root).expanduser()) for root in config.data.root]
    names = infos[0].label_map.names
    counted = [info.pixel_counts.get(config.data.split, {}) for info in infos]
    return infos[0].label_map, [sum(counts.get(name, 0) for counts in counted) for name in names]


def _reason(label_map: LabelMap, counts: list[int], few: bool) -> str:
    if label_map.multilabel:
        return "loss:    jaccard, chosen for several labels at once"
    if few:
        return "loss:    jaccard, chosen for two classes (docs/losses.md)"
    if not any(counts):
        return "loss:    jaccard, chosen because the dataset does not say how many pixels each class has"
    shares = sorted((100 * n / sum(counts), name) for n, name in zip(counts, label_map.names, strict=True) if n)
    (least, rare), (most, common) = shares[0], shares[-1]
    return (
        f"loss:    ce (root_median_frequency) + dice, chosen for {len(label_map.classes)} classes from {most:.0f} % "
        f"({common}) to {least:.2g} % ({rare}) of the pixels (docs/losses.md)"
    )
