"""Boosting of pixels: SAMME, the AdaBoost of several classes.

It is that of Zhu, Zou, Rosset & Hastie 2009, 10.4310/SII.2009.v2.n3.a8. Every pixel of every training picture is an
example with a weight of its own, 1 at first. A member that is wrong at a pixel multiplies its weight by ``exp(alpha)``,
with ``alpha = log((1 - e) / e) + log(K - 1)`` for K classes and the member's weighted share e of wrong pixels; in the
ensemble it counts alpha. The weights of all pixels are kept nowhere: they follow from the forerunners' answers, which
are asked anew for each augmented picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lanecli.errors import InputError
from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.losses.pixels import Pixels, weighted_mean
from lanecli.models.build import Network, network_from_file
from lanecli.training.batches import targets_of


class Forerunners:
    """The members trained before, in order, each with its alpha; they answer, and do not learn."""

    def __init__(self, members: Sequence[tuple[Path, float]], label_map: LabelMap, device: torch.device) -> None:
        """Load the members.

        Args:
            members: model file and alpha of each.
            label_map: of what is trained.
            device: to compute on.

        Raises:
            InputError: a member has other classes.
        """
        self.label_map = label_map
        self.members: list[tuple[Network, float]] = []
        for path, alpha in members:
            network, spec = network_from_file(path)
            if not spec.label_map.same_classes(label_map):
                raise InputError(f"model {path} knows {', '.join(spec.label_map.names)}: not the classes trained here")
            self.members.append((network.to(device).requires_grad_(False), alpha))

    @torch.no_grad()
    def weights(self, pictures: Tensor, targets: Tensor) -> Tensor:
        """The weight of each pixel (of each label at it, where a pixel has several), 0 where it is ignored.

        Args:
            pictures: (N, h, w, 3) uint8.
            targets: as :func:`lanecli.training.batches.targets_of` gives them.

        Returns:
            float32 of the targets' shape.
        """
        exponent = torch.zeros(targets.shape, device=targets.device)
        for network, alpha in self.members:
            exponent += alpha * wrong(network.logits(pictures), targets, self.label_map)
        return exponent.exp() * (targets != IGNORE_ID)


def wrong(logits: Tensor, targets: Tensor, label_map: LabelMap) -> Tensor:
    """1.0 where the likeliest class (the yes or no of each label) is not the target, else 0.0."""
    if label_map.multilabel:
        return ((logits > 0).long() != targets).float()
    # max, not argmax: torch's argmax over channels is some ninety times slower on a CPU
    return (logits.max(1)[1] != targets).float()


def boosted_loss(pixels: Pixels, weights: Tensor) -> Tensor:
    """Cross-entropy in which each pixel counts its weight."""
    return weighted_mean(pixels.entropy, weights.to(pixels.entropy) * pixels.mask)


@torch.inference_mode()
def weighted_error(
    model: Path,
    forerunners: Forerunners,
    read: Iterable[Sequence[Tensor]],
    device: torch.device,
) -> float:
    """The share of wrong pixels of a member, each counted by the weight it was trained with.

    Args:
        model: its file.
        forerunners: whose weights those are.
        read: batches of the training pictures and masks, not augmented.
        device: to compute on.
    """
    network, _ = network_from_file(model)
    network.to(device)
    missed = total = 0.0
    for pictures, masks in read:
        pictures, targets = pictures.to(device), targets_of(masks.to(device), forerunners.label_map)
        weights = forerunners.weights(pictures, targets).double()
        missed += float((weights * wrong(network.logits(pictures), targets, forerunners.label_map)).sum())
        total += float(weights.sum())
    return missed / total if total else 0.0


def alpha_of(error: float, classes: int) -> float:
    """SAMME's weight of a member; 0 or less means that it is no better than guessing.

    Args:
        error: its weighted share of wrong pixels.
        classes: K; 2 for labels that hold or do not.
    """
    error = min(max(error, 1e-6), 1 - 1e-6)  # a perfect member does not silence the others for ever
    return math.log((1 - error) / error) + math.log(classes - 1)
