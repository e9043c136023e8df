"""Scoring a network on validation sets, at the size of its input."""

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
from lanecli.training.batches import ProcessShare, targets_of
from lanecli.training.decisions import decisions, label_planes
from lanecli.training.processes import Processes


class ValidationTask(Protocol):
    """The attributes that :func:`validate` needs; :class:`lanecli.training.stage.Stage` has them."""

    criterion: CombinedLoss

    @property
    def validation(self) -> Sequence[EvaluationSet]: ...

    @property
    def label_map(self) -> LabelMap: ...


def validate(
    network: Network,
    stage: ValidationTask,
    read: Callable[[Any], Iterator[list[torch.Tensor]]],
    autocast: torch.autocast,
    processes: Processes,
) -> dict[str, float | None]:
    """Score a network on all validation sets of a stage together. Call it in inference mode.

    Args:
        network: a network, which is put into eval mode.
        stage: the stage, with its validation sets and its loss.
        read: yields the batches of a set.
        autocast: the context to compute under.
        processes: the processes that share the sets; each of them gets the scores of all.

    Returns:
        The scores for the log: ``val/loss``, the mean of the loss of single pictures, without terms for a teacher;
        ``val/miou``, ``val/miou_foreground`` and ``val/pixel_accuracy``; ``val/dice``, ``val/precision`` and
        ``val/recall``, means over the foreground classes (an undefined value counts as 0); and ``val/iou/CLASS``. Empty
        if there are no sets.
    """
    sets, label_map = stage.validation, stage.label_map
    if not sets:
        return {}
    network.eval()
    device = network.scale.device
    criterion = stage.criterion.without_teacher()
    losses = torch.zeros(2, dtype=torch.float64)  # the sum over pictures, and the number of pictures
    counts = (LabelCounts if label_map.multilabel else ConfusionMatrix)(len(label_map.classes))
    for part in sets:
        share, first = ProcessShare(part, processes), 0
        for pictures, masks in read(share):
            own = [share.is_own(first + i) for i in range(len(masks))]
            masks, first = masks.clone(), first + len(masks)
            masks[~torch.tensor(own)] = IGNORE_ID  # another process counts these pictures
            with autocast:
                logits = network.logits(pictures.to(device))
            if criterion is not None:  # picture by picture, because losses over regions depend on the whole batch
                targets = targets_of(masks.to(device), label_map)
                for number in (number for number, keep in enumerate(own) if keep):
                    picture = slice(number, number + 1)
                    losses += torch.tensor([float(criterion(logits[picture], targets[picture])), 1.0])
            decided = decisions(logits, label_map)
            if label_map.multilabel:
                labels = np.stack([decision.labels for decision in decided if decision.labels is not None])
                counts.update(label_planes(labels, len(label_map.classes)), label_map.split_labels(masks.numpy()))
            else:
                counts.update(np.stack([decision.class_map for decision in decided]), masks.numpy())
    counts.counts = processes.total(torch.from_numpy(counts.counts)).numpy()
    total, pictures_scored = processes.total(losses).tolist()
    scores = counts.scores(label_map)
    foreground_names = [name for number, name in enumerate(label_map.names) if number != label_map.background]
    pooled = {f"val/{name}": scores[name] for name in ("miou", "miou_foreground", "pixel_accuracy")}
    foreground = {
        f"val/{key}": float(np.mean([scores[key][name] or 0.0 for name in foreground_names]))
        for key in ("dice", "precision", "recall")
    }
    iou = {f"val/iou/{name}": value for name, value in scores["iou"].items()}
    validated = {"val/loss": total / pictures_scored if pictures_scored else None}
    return validated | pooled | foreground | iou


def score_names(label_map: LabelMap) -> list[str]:
    """Return the names of the validation scores by which the best model can be chosen."""
    pooled = ["miou_foreground", "miou", "pixel_accuracy", "dice", "precision", "recall"]
    return pooled + [f"iou/{name}" for name in label_map.names]
