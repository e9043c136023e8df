"""Self-training: labels from the confident predictions of a teacher."""

from __future__ import annotations

import torch
from torch import Tensor

from lanecli.labels import IGNORE_ID, LabelMap


@torch.no_grad()
def pseudo_labels(logits: Tensor, masks: Tensor, label_map: LabelMap, confidence: float) -> Tensor:
    """Return the most probable class of each pixel; pixels without confidence are ignored (arXiv 2001.07685, eq. 4).

    Args:
        logits: (N, C, h, w) logits of the teacher.
        masks: (N, h, w) uint8; 255 marks pixels outside the picture, which are ignored.
        label_map: the classes. With several labels per pixel the teacher must be confident of each label.
        confidence: the smallest probability of a confident prediction, at least 0.5.

    Returns:
        (N, h, w) uint8 train ids (with several labels per pixel: bits), 255 where ignored.
    """
    logits = logits.float()
    if label_map.multilabel:
        present = logits.sigmoid()
        sure = torch.maximum(present, 1 - present).amin(1) >= confidence
        bits = 1 << torch.arange(logits.shape[1], device=logits.device)
        labels = ((present >= 0.5) * bits.view(1, -1, 1, 1)).sum(1).to(torch.uint8)
    else:
        best, labels = logits.softmax(1).max(1)  # argmax would be slow on a CPU
        sure, labels = best >= confidence, labels.to(torch.uint8)
    return labels.masked_fill(~sure | (masks == IGNORE_ID), IGNORE_ID)
