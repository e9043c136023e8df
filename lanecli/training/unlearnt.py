"""Classes that training does not find, and what to try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lanecli.config import Config
from lanecli.labels import LabelMap

PATIENCE = 3
"""Validations a class stays at 0 before it is named."""


def unlearnt_classes(rows: Sequence[Mapping[str, Any]], label_map: LabelMap) -> list[str]:
    """Foreground classes whose IoU has been 0 in exactly the last `PATIENCE` rows of the log: each is named once.

    A class that neither the truth nor the answers hold has no IoU, and is not among them.
    """
    drawn = [name for number, name in enumerate(label_map.names) if number != label_map.background]
    return [name for name in drawn if _zeros(rows, name) == PATIENCE]


def all_at_zero(row: Mapping[str, Any], label_map: LabelMap) -> bool:
    """Whether a validation found nothing of any foreground class."""
    drawn = [name for number, name in enumerate(label_map.names) if number != label_map.background]
    values = [row.get(f"val/iou/{name}") for name in drawn]
    known = [float(value) for value in values if value not in (None, "")]
    return bool(known) and not any(known)


def advice(names: Sequence[str], config: Config) -> str:
    """A line that says which classes stay at 0, and what has not been tried."""
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    tries = []
    if not any(term.args.get("class_weights") for term in config.loss):
        tries.append('loss="[{name: ce, args: {class_weights: root_median_frequency}}, dice]"')
    if config.data.sampler == "uniform":
        tries.append("data.sampler=rare")
    if config.data.augment is not None and config.data.geometry.size[0] < 512:
        tries.append("a larger data.geometry.size")
    tries.append("more train.epochs")
    return f"IoU has been 0 for {PATIENCE} validations: {shown}; try {', '.join(tries)}"


def _zeros(rows: Sequence[Mapping[str, Any]], name: str) -> int:
    """At how many validations in a row, counted from the last one, the IoU of a class was 0."""
    count = 0
    for row in reversed(rows):
        value = row.get(f"val/iou/{name}")
        if value in (None, "") or float(str(value)) != 0:
            break
        count += 1
    return count
