"""A network's logits as classes, decided where all of lanecli decides it."""

from __future__ import annotations

import numpy as np
import torch

from lanecli.labels import Decision, LabelMap, decide, planes_of


def answers(logits: torch.Tensor, label_map: LabelMap) -> list[Decision]:
    """What a batch of logits (N, C, H, W) says of each picture."""
    scores = logits.float().cpu().numpy()
    return [decide(planes_of(each, label_map, logits=True), label_map, threshold=0.0) for each in scores]


def label_planes(labels: np.ndarray, classes: int) -> np.ndarray:
    """(…, H, W) uint8 bits of answers, which ignore nothing, as (…, classes, H, W) bool."""
    return (labels[..., None, :, :] >> np.arange(classes, dtype=np.uint8)[:, None, None] & 1).astype(bool)
