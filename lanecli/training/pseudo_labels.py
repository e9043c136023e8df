"""Labels from a teacher's answers, where it is sure: self-training."""

from __future__ import annotations

import torch
from torch import Tensor

from lanecli.labels import IGNORE_ID, LabelMap


@torch.no_grad()
def pseudo_labels(logits: Tensor, masks: Tensor, label_map: LabelMap, confidence: float) -> Tensor:
    """What the teacher takes each pixel for, ignored where it is not sure (arXiv 2001.07685, equation 4).

    Args:
        logits: (N, C, h, w) of the teacher.
        masks: (N, h, w) uint8, 255 where there is nothing to see.
        label_map: one class of many, or several labels at once; of those, each must be sure.
        confidence: least probability of a sure answer, from 0.5.

    Returns:
        (N, h, w) uint8 train ids (of several labels: bits), 255 where ignored.
    """
    logits = logits.float()
    if label_map.multilabel:
        present = logits.sigmoid()
        sure = torch.maximum(present, 1 - present).amin(1) >= confidence
        bits = 1 << torch.arange(logits.shape[1], device=logits.device)
        labels = ((present >= 0.5) * bits.view(1, -1, 1, 1)).sum(1).to(torch.uint8)
    else:
        best, labels = logits.softmax(1).max(1)  # not argmax, which is slow on a CPU
        sure, labels = best >= confidence, labels.to(torch.uint8)
    return labels.masked_fill(~sure | (masks == IGNORE_ID), IGNORE_ID)
