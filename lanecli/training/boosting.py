"""Drawing the pictures more often that another model gets wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from lanecli.data.dataset import EvaluationSet
from lanecli.labels import IGNORE_ID, Decision, LabelMap
from lanecli.models.build import network_from_file
from lanecli.shipped import find_model
from lanecli.training.answers import answers, label_planes

_FLOOR = 0.1  # weight of a picture without an error beside one that is all wrong: it is still seen


@torch.inference_mode()
def error_weights(
    model: str,
    items: EvaluationSet,
    label_map: LabelMap,
    device: torch.device,
    read: Callable[[EvaluationSet], Iterator[list[torch.Tensor]]],
) -> np.ndarray:
    """The probability of drawing each picture: rising with its error under `model`.

    The error is one minus the foreground IoU of the picture, 0 where neither mask nor model has foreground. Weighting
    whole pictures by the last model's error is the idea of AdaBoost (Freund & Schapire 1997, 10.1006/jcss.1997.1504).

    Args:
        model: a model file, run directory or shipped model of the same classes.
        items: the pictures, as the network sees them.
        label_map: their classes.
        device: to compute on.
        read: batches of `items`, in order.

    Returns:
        (len(items),) float64 that sums to one.
    """
    network, _ = network_from_file(find_model(model, prefer=".safetensors"))
    network.to(device)
    errors: list[float] = []
    for pictures, masks in read(items):
        found = answers(network.logits(pictures.to(device)), label_map)
        errors += [_error(decision, mask, label_map) for decision, mask in zip(found, masks.numpy(), strict=True)]
    weights = _FLOOR + np.array(errors)
    return weights / weights.sum()


def _error(decision: Decision, mask: np.ndarray, label_map: LabelMap) -> float:
    """One minus IoU over all foreground classes together."""
    valid = mask != IGNORE_ID
    if decision.labels is not None:
        found = label_planes(decision.labels, len(label_map.classes))
        truth = label_map.split_labels(mask) == 1
    else:
        background = -1 if label_map.background is None else label_map.background
        classes = np.arange(len(label_map.classes))[:, None, None]
        drawn = classes != background
        found, truth = (decision.class_map == classes) & drawn, (mask == classes) & drawn
    union = int(((found | truth) & valid).sum())
    return 1.0 - int((found & truth & valid).sum()) / union if union else 0.0
