"""Scores of a network on validation sets, at the network's size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from lanecli.data.dataset import EvaluationSet
from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.metrics.segmentation import ConfusionMatrix, LabelCounts
from lanecli.models.build import Network
from lanecli.training.batches import Share
from lanecli.training.processes import Processes


@torch.inference_mode()
def validate(
    network: Network,
    sets: Sequence[EvaluationSet],
    label_map: LabelMap,
    read: Callable[[Any], Iterator[list[torch.Tensor]]],
    autocast: torch.autocast,
    processes: Processes,
) -> dict[str, float | None]:
    """Scores over all sets together, as they stand in the log.

    Args:
        network: put into eval mode.
        sets: what it is scored on.
        label_map: its classes.
        read: batches of a set.
        autocast: to compute under.
        processes: the processes that share the sets; each gets the scores of all.

    Returns:
        ``val/miou``, ``val/miou_foreground``, ``val/pixel_accuracy``; ``val/dice``, ``val/precision`` and
        ``val/recall``, means over the foreground classes (a class without a ratio counts 0); ``val/iou/CLASS``.
        Empty without sets.
    """
    if not sets:
        return {}
    network.eval()
    device = network.scale.device
    counts = (LabelCounts if label_map.multilabel else ConfusionMatrix)(len(label_map.classes))
    for part in sets:
        share, place = Share(part, processes), 0
        for pictures, masks in read(share):
            own = [share.own(place + i) for i in range(len(masks))]
            masks, place = masks.clone(), place + len(masks)
            masks[~torch.tensor(own)] = IGNORE_ID  # what another process counts
            with autocast:
                logits = network.logits(pictures.to(device))
            if label_map.multilabel:
                counts.update((logits > 0).cpu().numpy(), label_map.planes(masks.numpy()))
            else:  # max, not argmax: torch's argmax over channels is some ninety times slower on a CPU
                counts.update(logits.max(1)[1].to(torch.uint8).cpu().numpy(), masks.numpy())
    counts.counts = processes.total(torch.from_numpy(counts.counts)).numpy()
    scores = counts.scores(label_map)
    drawn = [name for number, name in enumerate(label_map.names) if number != label_map.background]
    pooled = {f"val/{name}": scores[name] for name in ("miou", "miou_foreground", "pixel_accuracy")}
    foreground = {
        f"val/{key}": float(np.mean([scores[key][name] or 0.0 for name in drawn]))
        for key in ("dice", "precision", "recall")
    }
    return pooled | foreground | {f"val/iou/{name}": value for name, value in scores["iou"].items()}


def score_names(label_map: LabelMap) -> list[str]:
    """Validation scores that can choose the best model."""
    pooled = ["miou_foreground", "miou", "pixel_accuracy", "dice", "precision", "recall"]
    return pooled + [f"iou/{name}" for name in label_map.names]
