"""Boosting of pixels: SAMME, the AdaBoost of several classes.

The algorithm is that of Zhu, Zou, Rosset & Hastie 2009, 10.4310/SII.2009.v2.n3.a8. Every pixel of every training
picture is an example with its own weight, which is 1 at first. A member that is wrong at a pixel multiplies its weight
by ``exp(alpha)``, with ``alpha = log((1 - e) / e) + log(K - 1)`` for K classes and the weighted share e of pixels that
the member gets wrong; alpha is also the weight of the member in the ensemble. The weights of the pixels are not stored:
the previous members predict each augmented picture again, and the weights follow from that.
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


class PreviousMembers:
    """The members that were trained before, in order, each with its alpha. They predict, and do not learn."""

    def __init__(self, members: Sequence[tuple[Path, float]], label_map: LabelMap, device: torch.device) -> None:
        """Load the members.

        Args:
            members: the model file and the alpha of each member.
            label_map: the classes of the member that is trained.
            device: the device to compute on.

        Raises:
            InputError: a member has other classes.
        """
        self.label_map = label_map
        self.members: list[tuple[Network, float]] = []
        for path, alpha in members:
            network, spec = network_from_file(path)
            if not spec.label_map.same_classes(label_map):
                raise InputError(
                    f"model {path} has the classes {', '.join(spec.label_map.names)}, not those trained here"
                )
            self.members.append((network.to(device).requires_grad_(False), alpha))

    @torch.no_grad()
    def weights(self, pictures: Tensor, targets: Tensor) -> Tensor:
        """Compute the weight of each pixel, or of each label of a pixel if there are several; 0 where it is ignored.

        Args:
            pictures: (N, h, w, 3) uint8.
            targets: the result of :func:`lanecli.training.batches.targets_of`.

        Returns:
            float32 weights with the shape of the targets.
        """
        exponent = torch.zeros(targets.shape, device=targets.device)
        for network, alpha in self.members:
            exponent += alpha * wrong(network.logits(pictures), targets, self.label_map)
        return exponent.exp() * (targets != IGNORE_ID)


def wrong(logits: Tensor, targets: Tensor, label_map: LabelMap) -> Tensor:
    """Return 1.0 where the most probable class (or the yes or no of each label) is not the target, else 0.0."""
    if label_map.multilabel:
        return ((logits > 0).long() != targets).float()
    # torch's argmax over channels would be some ninety times slower on a CPU than max
    return (logits.max(1)[1] != targets).float()


def boosted_loss(pixels: Pixels, weights: Tensor) -> Tensor:
    """Return the mean cross-entropy over pixels with these weights."""
    return weighted_mean(pixels.cross_entropy, weights.to(pixels.cross_entropy) * pixels.mask)


@torch.inference_mode()
def weighted_error(
    model: Path,
    previous_members: PreviousMembers,
    read: Iterable[Sequence[Tensor]],
    device: torch.device,
) -> float:
    """Compute the share of pixels that a member gets wrong, weighted as in its training.

    Args:
        model: the model file of the member.
        previous_members: the members that determine the weights.
        read: batches of the training pictures and masks, without augmentation.
        device: the device to compute on.
    """
    network, _ = network_from_file(model)
    network.to(device)
    missed = total = 0.0
    for pictures, masks in read:
        pictures, targets = pictures.to(device), targets_of(masks.to(device), previous_members.label_map)
        weights = previous_members.weights(pictures, targets).double()
        missed += float((weights * wrong(network.logits(pictures), targets, previous_members.label_map)).sum())
        total += float(weights.sum())
    return missed / total if total else 0.0


def alpha_of(error: float, classes: int) -> float:
    """Compute SAMME's weight of a member; 0 or less means that it is no better than guessing.

    Args:
        error: the weighted share of pixels that it gets wrong.
        classes: the number of classes K; 2 if there are several labels per pixel.
    """
    error = min(max(error, 1e-6), 1 - 1e-6)  # keeps the weight of a perfect member finite
    return math.log((1 - error) / error) + math.log(classes - 1)
