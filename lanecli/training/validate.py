"""Scores of a network on validation sets, at the network's size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from lanecli.data.dataset import EvaluationSet
from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.losses.combined import CombinedLoss
from lanecli.metrics.segmentation import ConfusionMatrix, LabelCounts
from lanecli.models.build import Network
from lanecli.training.answers import answers, label_planes
from lanecli.training.batches import Share, targets_of
from lanecli.training.processes import Processes


class Validated(Protocol):
    """What :func:`validate` needs of a stage; :class:`lanecli.training.stage.Stage` is one."""

    criterion: CombinedLoss

    @property
    def validation(self) -> Sequence[EvaluationSet]: ...

    @property
    def label_map(self) -> LabelMap: ...


def validate(
    network: Network,
    stage: Validated,
    read: Callable[[Any], Iterator[list[torch.Tensor]]],
    autocast: torch.autocast,
    processes: Processes,
) -> dict[str, float | None]:
    """Scores over all validation sets of a stage together, as they stand in the log. Call it in inference mode.

    Args:
        network: put into eval mode.
        stage: whose sets it is scored on, with the loss it is trained by.
        read: batches of a set.
        autocast: to compute under.
        processes: those that share the sets; each gets the scores of all.

    Returns:
        ``val/loss``, the mean of each picture's own loss, without what is learnt from a teacher;
        ``val/miou``, ``val/miou_foreground``, ``val/pixel_accuracy``; ``val/dice``, ``val/precision`` and
        ``val/recall``, means over the foreground classes (a class without a ratio counts 0); ``val/iou/CLASS``.
        Empty without sets.
    """
    sets, label_map = stage.validation, stage.label_map
    if not sets:
        return {}
    network.eval()
    device = network.scale.device
    criterion = stage.criterion.without_teacher()
    losses = torch.zeros(2, dtype=torch.float64)  # sum over pictures, and how many they are
    counts = (LabelCounts if label_map.multilabel else ConfusionMatrix)(len(label_map.classes))
    for part in sets:
        share, place = Share(part, processes), 0
        for pictures, masks in read(share):
            own = [share.own(place + i) for i in range(len(masks))]
            masks, place = masks.clone(), place + len(masks)
            masks[~torch.tensor(own)] = IGNORE_ID  # what another process counts
            with autocast:
                logits = network.logits(pictures.to(device))
            if criterion is not None:  # picture by picture: losses over regions depend on what is in a batch
                targets = targets_of(masks.to(device), label_map)
                for number in (number for number, keep in enumerate(own) if keep):
                    picture = slice(number, number + 1)
                    losses += torch.tensor([float(criterion(logits[picture], targets[picture])), 1.0])
            found = answers(logits, label_map)
            if label_map.multilabel:
                labels = np.stack([decision.labels for decision in found if decision.labels is not None])
                counts.update(label_planes(labels, len(label_map.classes)), label_map.split_labels(masks.numpy()))
            else:
                counts.update(np.stack([decision.class_map for decision in found]), masks.numpy())
    counts.counts = processes.total(torch.from_numpy(counts.counts)).numpy()
    total, pictures_scored = processes.total(losses).tolist()
    scores = counts.scores(label_map)
    drawn = [name for number, name in enumerate(label_map.names) if number != label_map.background]
    pooled = {f"val/{name}": scores[name] for name in ("miou", "miou_foreground", "pixel_accuracy")}
    foreground = {
        f"val/{key}": float(np.mean([scores[key][name] or 0.0 for name in drawn]))
        for key in ("dice", "precision", "recall")
    }
    iou = {f"val/iou/{name}": value for name, value in scores["iou"].items()}
    validated = {"val/loss": total / pictures_scored if pictures_scored else None}
    return validated | pooled | foreground | iou


def score_names(label_map: LabelMap) -> list[str]:
    """Validation scores that can choose the best model."""
    pooled = ["miou_foreground", "miou", "pixel_accuracy", "dice", "precision", "recall"]
    return pooled + [f"iou/{name}" for name in label_map.names]
