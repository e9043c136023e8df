"""Drawing those pictures more often that another model gets wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from lanecli.data.dataset import EvaluationSet
from lanecli.labels import IGNORE_ID, Decision, LabelMap
from lanecli.models.build import network_from_file
from lanecli.shipped import find_model
from lanecli.training.decisions import decisions, label_planes

_FLOOR = 0.1  # weight of a picture without errors, so that it is drawn too; an all-wrong picture has one more


@torch.inference_mode()
def error_weights(
    model: str,
    items: EvaluationSet,
    label_map: LabelMap,
    device: torch.device,
    read: Callable[[EvaluationSet], Iterator[list[torch.Tensor]]],
) -> np.ndarray:
    """Compute the probability of drawing each picture, which rises with the error of `model` on it.

    The error is one minus the foreground IoU of the picture; it is 0 if neither the mask nor the model has foreground.
    Weighting whole pictures by the error of the last model is the idea of AdaBoost (Freund & Schapire 1997,
    10.1006/jcss.1997.1504).

    Args:
        model: a model file, a run folder or the name of a shipped model, with the same classes.
        items: the pictures, as the network sees them.
        label_map: their classes.
        device: the device to compute on.
        read: yields the batches of a set, in order.

    Returns:
        (len(items),) float64 probabilities that sum to one.
    """
    network, _ = network_from_file(find_model(model, prefer=".safetensors"))
    network.to(device)
    errors: list[float] = []
    for pictures, masks in read(items):
        decided = decisions(network.logits(pictures.to(device)), label_map)
        errors += [_error(decision, mask, label_map) for decision, mask in zip(decided, masks.numpy(), strict=True)]
    weights = _FLOOR + np.array(errors)
    return weights / weights.sum()


def _error(decision: Decision, mask: np.ndarray, label_map: LabelMap) -> float:
    """Return one minus the IoU of all foreground classes together."""
    valid = mask != IGNORE_ID
    if decision.labels is not None:
        predicted = label_planes(decision.labels, len(label_map.classes))
        truth = label_map.split_labels(mask) == 1
    else:
        background = -1 if label_map.background is None else label_map.background
        classes = np.arange(len(label_map.classes))[:, None, None]
        foreground = classes != background
        predicted, truth = (decision.class_map == classes) & foreground, (mask == classes) & foreground
    union = int(((predicted | truth) & valid).sum())
    return 1.0 - int((predicted & truth & valid).sum()) / union if union else 0.0
