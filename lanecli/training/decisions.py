"""Turning the logits of a network into classes, by the same rule as everywhere in lanecli."""

from __future__ import annotations

import numpy as np
import torch

from lanecli.labels import Decision, LabelMap, decide, planes_of


def decisions(logits: torch.Tensor, label_map: LabelMap) -> list[Decision]:
    """Decide the classes of each picture of a batch from its logits (N, C, H, W)."""
    scores = logits.float().cpu().numpy()
    return [decide(planes_of(each, label_map, logits=True), label_map, threshold=0.0) for each in scores]


def label_planes(labels: np.ndarray, classes: int) -> np.ndarray:
    """Unpack the label bits of decisions, (…, H, W) uint8 without ignored pixels, to (…, classes, H, W) bool."""
    return (labels[..., None, :, :] >> np.arange(classes, dtype=np.uint8)[:, None, None] & 1).astype(bool)
