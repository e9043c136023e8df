"""Classes that training has not learned, and advice on what to try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lanecli.config import Config
from lanecli.labels import LabelMap

PATIENCE = 3
"""The number of validations with an IoU of 0 after which a class is reported."""


def unlearnt_classes(rows: Sequence[Mapping[str, Any]], label_map: LabelMap) -> list[str]:
    """Return the foreground classes whose IoU was 0 in exactly the last `PATIENCE` rows, so that each is named once.

    A class that occurs neither in the masks nor in the predictions has no IoU, and is not returned.
    """
    foreground = [name for number, name in enumerate(label_map.names) if number != label_map.background]
    return [name for name in foreground if _zeros(rows, name) == PATIENCE]


def all_at_zero(row: Mapping[str, Any], label_map: LabelMap) -> bool:
    """Whether the IoU of every foreground class was 0 in a validation."""
    foreground = [name for number, name in enumerate(label_map.names) if number != label_map.background]
    values = [row.get(f"val/iou/{name}") for name in foreground]
    known = [float(value) for value in values if value not in (None, "")]
    return bool(known) and not any(known)


def advice(names: Sequence[str], config: Config) -> str:
    """Return a line that names the classes with an IoU of 0, and settings that are not in use yet."""
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    tries = []
    if not any(term.args.get("class_weights") for term in config.loss):
        tries.append('loss="[{name: ce, args: {class_weights: root_median_frequency}}, dice]"')
    if config.data.sampler == "uniform":
        tries.append("data.sampler=rare")
    if config.data.augment is not None and config.data.geometry.size[0] < 512:
        tries.append("a larger data.geometry.size")
    tries.append("more train.epochs")
    return f"the IoU has been 0 in {PATIENCE} validations: {shown}; try {', '.join(tries)}"


def _zeros(rows: Sequence[Mapping[str, Any]], name: str) -> int:
    """Count the validations, back from the last one, in which the IoU of a class was 0 without a break."""
    count = 0
    for row in reversed(rows):
        value = row.get(f"val/iou/{name}")
        if value in (None, "") or float(str(value)) != 0:
            break
        count += 1
    return count
