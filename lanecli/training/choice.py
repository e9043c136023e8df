"""Settings that are left to the data: ``loss: auto``."""

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
    """`config` with what is left to the data chosen, and lines that say what was, and why; as it is without ``auto``.

    Two classes, or several labels at once, are learnt by the soft Jaccard loss, which won at that (docs/losses.md).
    Of many classes some are rare, and a loss that weighs each of them alike from the first step, or none, leaves out
    those: cross-entropy weighed by the root of inverse shares, and Dice (docs/losses.md, "Many classes").

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
    """The classes trained on, and how many pixels of each the training pictures hold."""
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
        return "loss:    jaccard, chosen as the dataset does not say how many pixels each class has"
    shares = sorted((100 * n / sum(counts), name) for n, name in zip(counts, label_map.names, strict=True) if n)
    (least, rare), (most, common) = shares[0], shares[-1]
    return (
        f"loss:    ce (root_median_frequency) + dice, chosen for {len(label_map.classes)} classes from {most:.0f} % "
        f"({common}) to {least:.2g} % ({rare}) of the pixels (docs/losses.md)"
    )
